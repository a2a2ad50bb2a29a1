package ai.nibble.data;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.function.Consumer;

/** What is wrong with the rows of a file, said at once, so that all of it can be mended at once. */
public final class RowProblems {
  /** Bad rows that are described; others are counted. */
  static final int SHOWN = 8;

  private final List<String> lines = new ArrayList<>();
  private InvalidInputException first;
  private long count;

  RowProblems() {}

  /**
   * Hands over rows one by one. A bad one does not keep those behind it from being looked at.
   *
   * @param name of the data, for messages
   * @param rows what its methods throw is about a row, and it goes on with the next where it can
   * @param use what it throws is about the row that it was given, whose place is put before the
   *     message where that does not begin with it
   * @throws InvalidInputException with the problems of the first {@value #SHOWN} bad rows, and how
   *     many more there are
   */
  public static void forEach(String name, Iterator<Row> rows, Consumer<Row> use) {
    RowProblems problems = new RowProblems();
    boolean more = true;
    while (more) {
      Row row = null;
      try {
        more = rows.hasNext();
        if (more) {
          row = rows.next();
          use.accept(row);
        }
      } catch (InvalidInputException e) {
        problems.add(row, e);
      }
    }
    problems.throwIfAny(name);
  }

  /**
   * Adds what is wrong with a row.
   *
   * @param row null where it could not be read
   */
  void add(Row row, InvalidInputException e) {
    InvalidInputException placed = row == null ? e : placed(row, e);
    if (count++ == 0) {
      first = placed;
    }
    if (count <= SHOWN) {
      lines.addAll(placed.problems());
    }
  }

  private static InvalidInputException placed(Row row, InvalidInputException e) {
    return e.getMessage().startsWith(row.where())
        ? e
        : new InvalidInputException(row.where() + ": " + e.getMessage(), e);
  }

  /** Throws the problems that were added, if any. */
  void throwIfAny(String name) {
    if (count == 1) {
      throw first; // with its cause
    }
    if (count > SHOWN) {
      long more = count - SHOWN;
      lines.add(name + ": and " + more + (more == 1 ? " more row" : " more rows"));
    }
    if (count > 0) {
      throw new InvalidInputException(lines);
    }
  }
}
