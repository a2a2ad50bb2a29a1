package ai.nibble.eval.task;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Row;
import ai.nibble.data.RowFile;
import ai.nibble.data.RowProblems;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** How a row of a test set becomes a question with choices. Open: a user may bring another. */
public interface ChoiceFormat {
  /** The name that tasks use, for example {@code hellaswag}. */
  String name();

  /**
   * What the row asks.
   *
   * @throws InvalidInputException naming the row and the column that is not as expected
   */
  ChoiceItem read(Row row);

  /** Rows as they come from a file; a format may have a form of plain text, too. */
  default Iterator<Row> rows(Path file, RowFile rows) {
    return rows;
  }

  /** The formats that tasks can name. */
  static List<ChoiceFormat> shipped() {
    return List.of(
        new HellaSwagFormat(),
        new MmluFormat(),
        new ArcFormat(),
        new PiqaFormat(),
        new WinoGrandeFormat(),
        new GenericChoiceFormat());
  }

  /** The shipped format of that name. */
  static Optional<ChoiceFormat> named(String name) {
    return shipped().stream().filter(format -> format.name().equals(name)).findFirst();
  }

  /**
   * Reads a file.
   *
   * @param file JSONL, JSON, or what else {@link #rows} knows
   * @throws InvalidInputException naming file and line of the first row that is not as expected, or
   *     where there is none
   */
  default List<ChoiceItem> read(Path file) {
    List<ChoiceItem> items = new ArrayList<>();
    try (RowFile rows = new RowFile(file, Map.of())) {
      RowProblems.forEach(file.toString(), rows(file, rows), row -> items.add(read(row)));
    }
    if (items.isEmpty()) {
      throw new InvalidInputException(file + ": no rows, expected at least one of " + name());
    }
    return items;
  }
}
