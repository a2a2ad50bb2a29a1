/**
 * What a training run tells the outside: events, and the listeners that write them down.
 *
 * <h2>metrics.jsonl</h2>
 *
 * One JSON object a line, UTF-8, {@code \n}. An optimizer step: {@code step}, {@code epoch}, {@code
 * loss}, {@code learning_rate}, {@code grad_norm}, {@code tokens_per_second}, {@code memory}
 * (bytes), {@code tokens} (since the run's first step). An evaluation: {@code step}, {@code epoch},
 * {@code eval_loss}, {@code eval_tokens}, {@code eval_seconds}. Where preferences are trained on,
 * both have what the objective saw, under TRL's names and in an evaluation with {@code eval_}
 * before them: {@code rewards/chosen}, {@code rewards/rejected}, {@code rewards/margins}, {@code
 * rewards/accuracies} (0 to 1, of pairs), {@code logps/chosen}, {@code logps/rejected} (an answer's
 * log-probability in nats, summed over its tokens), {@code nll_loss} (where the chosen answers'
 * cross-entropy is trained, too) and {@code kl} (of KTO). Generated answers: {@code step}, {@code
 * exact_match} (0 to 1), {@code exact_rows}, {@code answer_rows}, {@code answer_tokens}, {@code
 * answer_seconds}. A notice: {@code step}, {@code notice} ({@code not_finite}, {@code spike},
 * {@code high_loss}, {@code loss_scale}, {@code plateau}, {@code early_stop}, {@code best}, {@code
 * output}), {@code text}. JSON has no numbers for what is not finite: those are the strings {@code
 * "NaN"}, {@code "Infinity"} and {@code "-Infinity"}, which Python's {@code float} and Java's
 * {@code Double.valueOf} take as they are.
 *
 * <h2>TensorBoard's event files</h2>
 *
 * {@code events.out.tfevents.<seconds>.<host>.<pid>.<n>} is a TFRecord file, little-endian, of
 * records
 *
 * <pre>
 * uint64 length | uint32 masked CRC of the length's 8 bytes | length bytes | uint32 masked CRC of them
 * </pre>
 *
 * where the CRC is CRC-32C and masked is {@code rotateRight(crc, 15) + 0xa282ead8}. Each record is
 * a protocol buffer {@code Event}; of its fields Nibble writes:
 *
 * <pre>
 * Event            1 wall_time double (seconds)   2 step int64   3 file_version string "brain.Event:2"
 *                  5 summary Summary              7 session_log SessionLog
 * SessionLog       1 status enum (1 START: what was logged from this step on is void)
 * Summary          1 value Value, repeated
 * Value            1 tag string   2 simple_value float   5 histo HistogramProto
 *                  8 tensor TensorProto   9 metadata SummaryMetadata
 * HistogramProto   1 min double   2 max double   3 num double   4 sum double   5 sum_squares double
 *                  6 bucket_limit double, repeated   7 bucket double, repeated
 * SummaryMetadata  1 plugin_data PluginData
 * PluginData       1 plugin_name string ("text")
 * TensorProto      1 dtype enum (7 DT_STRING)   2 tensor_shape   8 string_val bytes, repeated
 * TensorShapeProto 2 dim Dim, repeated;   Dim  1 size int64
 * </pre>
 *
 * Source: tensorboard 2.21, {@code compat/proto/*.proto} and {@code
 * summary/writer/record_writer.py}.
 */
package ai.nibble.train.log;
