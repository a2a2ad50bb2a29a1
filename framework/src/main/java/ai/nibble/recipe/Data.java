package ai.nibble.recipe;

import ai.nibble.data.EncodingSettings.ExcessLength;
import ai.nibble.data.EncodingSettings.TrainOnEos;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/**
 * Rows, how they become tokens, and which tokens carry loss.
 *
 * @param datasets at least one
 * @param testDatasets for evaluation only; empty: none
 * @param chatTemplate a Jinja file; empty: the tokenizer's own template
 * @param sequenceLen most tokens of a row
 * @param excessLengthLimit a share of a set's rows: with more that are too long, the run is refused
 * @param datasetNumProc threads; empty: as many as there are processors
 */
public record Data(
    @Key(value = "datasets", atLeast = 1, doc = "Rows to train on") List<Dataset> datasets,
    @Key(value = "test_datasets", byDefault = "[]", doc = "Rows to evaluate on")
        List<Dataset> testDatasets,
    @Key(
            value = "val_set_size",
            byDefault = "0",
            doc = "Hold back training rows to evaluate on: a fraction below 1, or a count")
        ValSetSize valSetSize,
    @Key(
            value = "chat_template",
            byDefault = "tokenizer_default",
            none = "tokenizer_default",
            doc = "The tokenizer's own template, or a Jinja file")
        Optional<Path> chatTemplate,
    @Key(
            value = "train_on_inputs",
            byDefault = "false",
            doc = "Every token carries loss, not only the trained roles' turns")
        boolean trainOnInputs,
    @Key(
            value = "roles_to_train",
            byDefault = "[assistant]",
            atLeast = 1,
            doc = "Roles whose turns carry loss")
        List<String> rolesToTrain,
    @Key(
            value = "train_on_eos",
            byDefault = "turn",
            doc = "End-of-turn tokens that carry loss: of trained turns, all, the last, or none")
        TrainOnEos trainOnEos,
    @Key(value = "sequence_len", range = "[2, 1048576]", doc = "Most tokens of a row")
        int sequenceLen,
    @Key(
            value = "excess_length_strategy",
            byDefault = "raise",
            doc = "What happens to a longer row: stop, leave it out, or cut it")
        ExcessLength excessLengthStrategy,
    @Key(
            value = "excess_length_limit",
            byDefault = "0.5",
            range = "[0, 1]",
            doc =
                "Most of a set's rows, as a fraction, that may be left out or cut for their length")
        double excessLengthLimit,
    @Key(
            value = "dataset_prepared_path",
            byDefault = "auto",
            doc =
                "Directory that keeps encoded rows for the next run; `auto`: `rows` in NIBBLE_CACHE"
                    + " or `~/.cache/nibble`; `none`: nowhere")
        PreparedPath datasetPreparedPath,
    @Key(
            value = "dataset_num_proc",
            byDefault = "null",
            range = "[1, 1024]",
            doc = "Threads that encode rows; without it: as many as there are processors")
        Optional<Integer> datasetNumProc) {

  /** Copies the lists. */
  public Data {
    datasets = List.copyOf(datasets);
    testDatasets = List.copyOf(testDatasets);
    rolesToTrain = List.copyOf(rolesToTrain);
  }
}
