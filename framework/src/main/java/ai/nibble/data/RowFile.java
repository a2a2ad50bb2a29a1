package ai.nibble.data;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.data.parquet.ParquetRows;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.NoSuchElementException;
import java.util.Optional;

/**
 * Reads the rows of a data file one by one, by the end of its name: JSON lines ({@code .jsonl},
 * {@code .ndjson}), a JSON array of objects ({@code .json}, or lines where it begins with an
 * object), comma-separated values with a header ({@code .csv}), Parquet ({@code .parquet}), or
 * plain text ({@code .txt}), of which every line that is not blank is a row with the column {@code
 * text}.
 *
 * <p>A row that cannot be read is thrown as an {@link InvalidInputException}, and the next call
 * goes on behind it; where nobody can say what is behind it, as in a broken array, the rows end
 * there.
 */
public final class RowFile implements Iterator<Row>, AutoCloseable {
  /** The ends of the names of files that are read, in lower case. */
  public static final List<String> KINDS =
      List.of(".jsonl", ".ndjson", ".json", ".csv", ".parquet", ".txt");

  private final Path path;
  private final Map<String, String> renames;
  private final RowReader reader;
  private Row next;
  private long rows;
  private boolean ended;

  /**
   * @param path a regular file
   * @param renames the file's name of a column by the format's
   * @throws InvalidInputException where it is no regular file, or of a kind not read
   */
  public RowFile(Path path, Map<String, String> renames) {
    this.path = path;
    this.renames = Map.copyOf(renames);
    String kind =
        kind(path)
            .orElseThrow(
                () ->
                    new InvalidInputException(
                        path + ": unknown kind of file, expected one of " + KINDS));
    requireFile(path);
    try {
      this.reader = kind.equals(".parquet") ? new ParquetReader(path) : text(kind);
    } catch (IOException e) {
      throw unreadable(e);
    }
  }

  /** Which of the {@link #KINDS} a file is by its name; empty for none. */
  public static Optional<String> kind(Path path) {
    String name = String.valueOf(path.getFileName()).toLowerCase(Locale.ROOT);
    return KINDS.stream().filter(name::endsWith).findFirst();
  }

  /**
   * Refuses what is no file: reading a pipe may never end. A symbolic link is followed, as the
   * cache of Hugging Face's tools consists of them; that what it leads to may be another file
   * tomorrow is seen by the sums of what was read, which a run records and resuming compares.
   */
  static void requireFile(Path path) {
    String seen = null;
    if (Files.isDirectory(path)) {
      seen = "a directory";
    } else if (!Files.exists(path)) {
      seen = Files.isSymbolicLink(path) ? "a symbolic link to what is not there" : "not there";
    } else if (!Files.isRegularFile(path)) {
      seen = "a pipe or device";
    }
    if (seen != null) {
      throw new InvalidInputException(path + ": expected a data file, this is " + seen);
    }
  }

  private RowReader text(String kind) throws IOException {
    InputStream in = new BufferedInputStream(Files.newInputStream(path), 1 << 16);
    try {
      int first = Utf8Lines.firstByte(in, path);
      return switch (kind) {
        case ".csv" -> new CsvRows(path, in);
        case ".json" -> first == '[' ? new JsonRows(path, in) : new LineRows(path, in, false);
        default -> new LineRows(path, in, kind.equals(".txt"));
      };
    } catch (IOException | RuntimeException e) {
      in.close();
      throw e;
    }
  }

  /** The columns that every row has, with their types; empty where each row has its own. */
  Map<String, String> columns() {
    return reader.columns();
  }

  @Override
  public boolean hasNext() {
    if (next == null && !ended) {
      next = read();
      ended = next == null;
    }
    return next != null;
  }

  private Row read() {
    try {
      RowReader.Raw raw = reader.next();
      return raw == null ? null : new Row(raw.columns(), raw.where(), ++rows, renames);
    } catch (IOException e) {
      ended = true;
      throw unreadable(e);
    }
  }

  @Override
  public Row next() {
    if (!hasNext()) {
      throw new NoSuchElementException();
    }
    Row row = next;
    next = null;
    return row;
  }

  private InvalidInputException unreadable(IOException e) {
    return new InvalidInputException(path + " cannot be read: " + FileProblem.reason(e), e);
  }

  @Override
  public void close() {
    try {
      reader.close();
    } catch (IOException e) {
      throw unreadable(e);
    }
  }

  private record ParquetReader(ParquetRows rows) implements RowReader {
    ParquetReader(Path path) throws IOException {
      this(new ParquetRows(path));
    }

    @Override
    public Raw next() {
      Map<String, Object> columns = rows.next();
      return columns == null ? null : new Raw(columns, rows.where(rows.rows()));
    }

    @Override
    public Map<String, String> columns() {
      return rows.columns();
    }

    @Override
    public void close() throws IOException {
      rows.close();
    }
  }
}
