package ai.nibble.data;

import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.NoSuchElementException;

/**
 * Rows of two answers to a prompt as twice as many rows that are judged, one after the other: the
 * chosen answer's, whose {@code label} is true, and the rejected one's. Which of the two a row
 * stands for is all that is added.
 */
public final class JudgedPairs implements Iterator<Row> {
  /** The column that tells them apart. */
  public static final String LABEL = "label";

  private final Iterator<Row> pairs;
  private Row second;

  /**
   * @param pairs with {@code chosen} and {@code rejected}
   */
  public JudgedPairs(Iterator<Row> pairs) {
    this.pairs = pairs;
  }

  @Override
  public boolean hasNext() {
    return second != null || pairs.hasNext();
  }

  @Override
  public Row next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    if (second != null) {
      Row rejected = second;
      second = null;
      return rejected;
    }
    Row pair = pairs.next();
    second = judged(pair, false);
    return judged(pair, true);
  }

  private static Row judged(Row pair, boolean desirable) {
    Map<String, Object> columns = new LinkedHashMap<>(pair.columns());
    columns.put(pair.name(LABEL), desirable);
    return new Row(columns, pair.where(), pair.number(), pair.renames());
  }
}
