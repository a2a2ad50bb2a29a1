package ai.nibble.data;

import ai.nibble.InvalidInputException;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Objects;
import java.util.TreeSet;

/**
 * The rows of several files, one behind the other, as of one data set. Files that say which columns
 * they have (CSV, Parquet) must all have those of the first.
 *
 * <p>A row that cannot be read is thrown as an {@link InvalidInputException}, and the next call
 * goes on behind it, see {@link RowFile}.
 */
public final class RowFiles implements Iterator<Row>, AutoCloseable {
  private final Iterator<Path> files;
  private final Path first;
  private final Map<String, String> renames;
  private Map<String, String> columns;
  private RowFile open;

  /**
   * @param files at least one, opened when it is their turn
   * @param renames the files' name of a column by the format's
   */
  public RowFiles(List<Path> files, Map<String, String> renames) {
    this.files = files.iterator();
    this.first = files.get(0);
    this.renames = Map.copyOf(renames);
  }

  @Override
  public boolean hasNext() {
    while (open == null || !open.hasNext()) {
      close();
      if (!files.hasNext()) {
        return false;
      }
      Path file = files.next();
      open = new RowFile(file, renames);
      if (columns == null) {
        columns = open.columns();
      } else if (!columns.equals(open.columns())) {
        String difference = difference(open.columns());
        close();
        throw new InvalidInputException(file + ": " + difference);
      }
    }
    return true;
  }

  private String difference(Map<String, String> other) {
    TreeSet<String> names = new TreeSet<>(columns.keySet());
    names.addAll(other.keySet());
    for (String name : names) {
      String before = columns.getOrDefault(name, "missing");
      String now = other.getOrDefault(name, "missing");
      if (!Objects.equals(before, now)) {
        return "column '" + name + "' is " + now + ", but " + before + " in " + first;
      }
    }
    throw new IllegalStateException("no column differs");
  }

  @Override
  public Row next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    return open.next();
  }

  @Override
  public void close() {
    if (open != null) {
      RowFile file = open;
      open = null;
      file.close();
    }
  }
}
