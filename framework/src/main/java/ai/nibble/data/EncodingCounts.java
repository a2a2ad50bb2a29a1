package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSettings.ExcessLength;
import java.util.Optional;

/** Counts what becomes of rows, and decides it where their length or loss does. */
final class EncodingCounts {
  private final EncodingSettings settings;
  private long rows;
  private long examples;
  private long tokens;
  private long lossTokens;
  private int longest;
  private int highestId;
  private long tooLong;
  private long truncated;
  private long withoutLoss;
  private long callsAsText;
  private long toolsUnseen;
  private long controlsAsText;
  private long alike;

  EncodingCounts(EncodingSettings settings) {
    this.settings = settings;
  }

  /**
   * The example to train on; empty where the row is left out.
   *
   * @throws InvalidInputException where it is too long, and that is to be an error
   */
  Optional<Example> add(Row row, ExampleEncoder.Encoded encoded) {
    rows++;
    Example example = encoded.example();
    int limit = settings.sequenceLen();
    longest = Math.max(longest, example.longest());
    if (example.longest() > limit) {
      if (settings.excessLength() == ExcessLength.RAISE) {
        throw tooLong(row, example.longest());
      }
      if (settings.excessLength() == ExcessLength.DROP) {
        tooLong++;
        return Optional.empty();
      }
      example = example.truncated(limit);
      truncated++;
    }
    if (!example.carriesLoss()) {
      withoutLoss++;
      return Optional.empty();
    }
    if (example.isAlike()) {
      alike++;
      return Optional.empty();
    }
    callsAsText += encoded.callsAsText() ? 1 : 0;
    toolsUnseen += encoded.toolsUnseen() ? 1 : 0;
    controlsAsText += encoded.controlsAsText() ? 1 : 0;
    examples++;
    tokens += example.length();
    lossTokens += example.lossTokens();
    for (int id : example.inputIds()) {
      highestId = Math.max(highestId, id);
    }
    return Optional.of(example);
  }

  private InvalidInputException tooLong(Row row, int length) {
    return new InvalidInputException(
        row.where()
            + ": the row has "
            + length
            + " tokens, sequence_len is "
            + settings.sequenceLen()
            + ": raise sequence_len, or set excess_length_strategy to drop or truncate");
  }

  /**
   * All that was counted.
   *
   * @param name of the data, for the message
   * @throws InvalidInputException where no example is left
   */
  EncodingSummary summary(String name) {
    if (rows == 0) {
      throw new InvalidInputException(name + ": is empty, expected at least one row");
    }
    if (examples == 0) {
      throw new InvalidInputException(
          name
              + ": 0 usable rows of "
              + rows
              + " ("
              + tooLong
              + " too long, "
              + withoutLoss
              + " without a token that carries loss"
              + (alike > 0 ? ", " + alike + " with two answers that are the same" : "")
              + "); check the file, roles_to_train and"
              + " sequence_len");
    }
    return new EncodingSummary(
        rows,
        examples,
        tokens,
        lossTokens,
        longest,
        highestId,
        tooLong,
        truncated,
        withoutLoss,
        callsAsText,
        toolsUnseen,
        controlsAsText,
        alike);
  }
}
