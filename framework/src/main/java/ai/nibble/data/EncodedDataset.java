package ai.nibble.data;

import ai.nibble.InvalidInputException;
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
   * Reads and encodes all rows, into memory and one by one; {@link RowEncoding} does it otherwise.
   *
   * @param name of the data, for messages
   * @throws InvalidInputException naming the rows that are malformed, refused or too long, see
   *     {@link RowProblems}; or where no row is left
   */
  public static EncodedDataset encode(
      String name, Iterator<Row> rows, RowFormat format, ExampleEncoder encoder) {
    List<Example> examples = new ArrayList<>();
    EncodingSummary summary = new RowEncoding(format, encoder, 1).encode(name, rows, examples::add);
    return new EncodedDataset(examples, summary);
  }
}
