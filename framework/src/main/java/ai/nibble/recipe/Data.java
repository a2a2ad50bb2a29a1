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
        ExcessLength excessLengthStrategy) {

  /** Copies the lists. */
  public Data {
    datasets = List.copyOf(datasets);
    testDatasets = List.copyOf(testDatasets);
    rolesToTrain = List.copyOf(rolesToTrain);
  }
}
