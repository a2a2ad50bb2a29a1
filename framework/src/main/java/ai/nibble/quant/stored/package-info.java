/**
 * Checkpoints whose linears are quantised already, as they lie in safetensors files: several
 * tensors make one matrix ({@link ai.nibble.quant.stored.StoredMatrix}), and {@code
 * quantization_config} of config.json says what they have in common ({@link
 * ai.nibble.quant.stored.QuantizationConfig}). Nothing is quantised anew: codes and scales of the
 * file are those that are computed with. What follows names the tensors of the linear {@code p}, a
 * matrix {@code [out, in]} of n elements.
 *
 * <h2>bitsandbytes, 4 bits</h2>
 *
 * <ul>
 *   <li>{@code p.weight}: the packed codes, ceil(n / 2) bytes, as uint8 {@code [bytes, 1]} or in
 *       another type of the same bytes ({@code bnb_4bit_quant_storage}), whose values mean nothing;
 *   <li>{@code p.weight.absmax}: float32 a block, or uint8 where they are nested;
 *   <li>{@code p.weight.quant_map}: the 16 values, float32;
 *   <li>{@code p.weight.nested_absmax}, {@code p.weight.nested_quant_map}: float32, a value for 256
 *       blocks, and 256 values; only where absmax is nested;
 *   <li>{@code p.weight.quant_state.bitsandbytes__nf4} (or {@code __fp4}): bytes of a JSON object
 *       ({@link ai.nibble.quant.stored.QuantState}).
 * </ul>
 *
 * <h2>bitsandbytes, 8 bits</h2>
 *
 * {@code p.weight} int8 {@code [out, in]}, {@code p.SCB} float32 {@code [out]}, and {@code
 * p.weight_format}, one uint8: 0, by rows. Other formats are those of kernels that no longer exist.
 *
 * <h2>GPTQ</h2>
 *
 * Integer codes of b bits, b one of 2, 3, 4 and 8, and {@code w[o, i] = scales[g, o] · (code[o, i]
 * − zero[g, o])}, g the group of column i. Integers make a stream of bits, the least significant
 * first, over consecutive 32-bit words; of 3 bits some lie in two.
 *
 * <ul>
 *   <li>{@code p.qweight}: int32 {@code [in · b / 32, out]}, codes packed along the columns;
 *   <li>{@code p.qzeros}: int32 {@code [groups, out · b / 32]}, zeros packed along the rows: one
 *       less than they are where {@code checkpoint_format} is {@code gptq}, as they are where it is
 *       {@code gptq_v2} ({@link ai.nibble.quant.stored.GptqZeros});
 *   <li>{@code p.scales}: float16 {@code [groups, out]};
 *   <li>{@code p.g_idx}: int32 {@code [in]}, each column's group; in any order where {@code
 *       desc_act} is true.
 * </ul>
 *
 * <h2>AWQ</h2>
 *
 * The same value of codes of 4 bits, with consecutive columns in a group; {@code p.qweight} int32
 * {@code [in, out / 8]} and {@code p.qzeros} int32 {@code [groups, out / 8]}, both packed along the
 * rows and interleaved ({@link ai.nibble.quant.stored.AwqMatrix}), zeros as they are. What AWQ
 * scales is scaled in the norms before already.
 *
 * <p>Sources: GPTQ, Frantar et al. 2022; AWQ, Lin et al. 2023; AutoGPTQ 0.7.1 and GPTQModel ({@code
 * qlinear_cuda.py}, {@code utils/model.py}); AutoAWQ 0.2.9 ({@code packing_utils.py}); bitsandbytes
 * 0.50 ({@code functional.py}, {@code nn/modules.py}), transformers 5.23.
 */
package ai.nibble.quant.stored;
