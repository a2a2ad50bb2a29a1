package ai.nibble.data;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSettings.ExcessLength;
import ai.nibble.data.format.RowFormat;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;

/**
 * A data set, encoded.
 *
 * @param examples at least one, in the order of the rows
 * @param summary what became of every row
 */
public record EncodedDataset(List<Example> examples, EncodingSummary summary) {
  public EncodedDataset {
    examples = Examples.unmodifiable(examples);
  }

  /**
   * Reads and encodes all rows.
   *
   * @param name of the data, for messages
   * @throws InvalidInputException naming the rows that are malformed, refused or too long, see
   *     {@link RowProblems}; or where no row is left
   */
  public static EncodedDataset encode(
      String name, Iterator<Row> rows, RowFormat format, ExampleEncoder encoder) {
    Builder builder = new Builder(encoder.settings());
    RowProblems.forEach(name, rows, row -> builder.add(row, encoder.encoded(format.read(row))));
    return builder.build(name);
  }

  private static final class Builder {
    private final EncodingSettings settings;
    private final List<Example> examples = new ArrayList<>();
    private long rows;
    private long tokens;
    private long lossTokens;
    private int longest;
    private long tooLong;
    private long truncated;
    private long withoutLoss;
    private long callsAsText;
    private long toolsUnseen;
    private long controlsAsText;

    Builder(EncodingSettings settings) {
      this.settings = settings;
    }

    void add(Row row, ExampleEncoder.Encoded encoded) {
      rows++;
      Example example = encoded.example();
      int limit = settings.sequenceLen();
      longest = Math.max(longest, example.length());
      if (example.length() > limit) {
        if (settings.excessLength() == ExcessLength.RAISE) {
          throw tooLong(row, example.length());
        }
        if (settings.excessLength() == ExcessLength.DROP) {
          tooLong++;
          return;
        }
        example = example.truncated(limit);
        truncated++;
      }
      if (example.lossTokens() == 0) {
        withoutLoss++;
        return;
      }
      callsAsText += encoded.callsAsText() ? 1 : 0;
      toolsUnseen += encoded.toolsUnseen() ? 1 : 0;
      controlsAsText += encoded.controlsAsText() ? 1 : 0;
      tokens += example.length();
      lossTokens += example.lossTokens();
      examples.add(example);
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

    EncodedDataset build(String name) {
      EncodingSummary summary =
          new EncodingSummary(
              rows,
              examples.size(),
              tokens,
              lossTokens,
              longest,
              tooLong,
              truncated,
              withoutLoss,
              callsAsText,
              toolsUnseen,
              controlsAsText);
      if (examples.isEmpty()) {
        throw new InvalidInputException(
            name
                + ": 0 usable rows of "
                + rows
                + " ("
                + tooLong
                + " too long, "
                + withoutLoss
                + " without a token that carries loss); check the file, roles_to_train and"
                + " sequence_len");
      }
      return new EncodedDataset(examples, summary);
    }
  }
}
