package ai.nibble.data.parquet;

import ai.nibble.InvalidInputException;
import java.io.Closeable;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.column.page.PageReadStore;
import org.apache.parquet.column.page.PageReader;
import org.apache.parquet.format.ColumnChunk;
import org.apache.parquet.format.RowGroup;
import org.apache.parquet.io.ColumnIOFactory;
import org.apache.parquet.io.MessageColumnIO;
import org.apache.parquet.io.RecordReader;

/**
 * The rows of a Parquet file, one by one; what is in memory is one page of each column.
 *
 * <p>Strings, numbers, booleans, lists, structs and maps are what they would be in JSON; dates and
 * times are text in ISO 8601, and bytes without a meaning {@code byte[]}. A field of a struct that
 * is null is left out, as JSON would, since Parquet does not tell the two apart; a column that is
 * null is there.
 */
public final class ParquetRows implements Closeable {
  private final Path path;
  private final FileChannel file;
  private final ParquetFooter footer;
  private final MessageColumnIO columns;
  private final Iterator<RowGroup> groups;
  private final RowTree tree;
  private RecordReader<Map<String, Object>> reader;
  private long leftInGroup;
  private long rows;
  private boolean ended;

  /**
   * Opens a file.
   *
   * @throws InvalidInputException naming the file, where it is damaged or has what is not supported
   */
  public ParquetRows(Path path) throws IOException {
    this.path = path;
    this.file = FileChannel.open(path);
    try {
      this.footer = ParquetFooter.read(file);
      this.tree = new RowTree(footer.schema());
      this.columns =
          new ColumnIOFactory(footer.data().getCreated_by()).getColumnIO(footer.schema());
    } catch (InvalidInputException e) {
      file.close();
      throw new InvalidInputException(path + ": the file " + e.getMessage(), e);
    } catch (IOException | RuntimeException e) {
      file.close();
      throw e;
    }
    this.groups = footer.data().getRow_groups().iterator();
  }

  /** The columns with their types in words, in the file's order. */
  public Map<String, String> columns() {
    Map<String, String> types = new LinkedHashMap<>();
    footer.schema().getFields().forEach(f -> types.put(f.getName(), ParquetSchema.describe(f)));
    return types;
  }

  /**
   * The next row; null behind the last, and behind what could not be read.
   *
   * @throws InvalidInputException naming the file and the row
   */
  public Map<String, Object> next() {
    if (ended) {
      return null;
    }
    try {
      while (leftInGroup == 0) {
        if (!groups.hasNext()) {
          ended = true;
          return null;
        }
        RowGroup group = groups.next();
        leftInGroup = group.getNum_rows();
        reader = leftInGroup == 0 ? null : columns.getRecordReader(new Group(group), tree);
      }
      leftInGroup--;
      Map<String, Object> row = reader.read();
      rows++;
      return row;
    } catch (RuntimeException | OutOfMemoryError e) { // of a size that a damaged page claims
      ended = true;
      throw new InvalidInputException(where(rows + 1) + ": the file is damaged: " + reason(e), e);
    }
  }

  /** How many rows were read. */
  public long rows() {
    return rows;
  }

  /** The place of a row, for messages. */
  public String where(long row) {
    return path + ": row " + row;
  }

  /** What was found wrong here, or else the library's own words. */
  private static String reason(Throwable e) {
    String words = "unreadable";
    for (Throwable each = e; each != null; each = each.getCause()) {
      if (each instanceof InvalidInputException) {
        return each.getMessage();
      }
      words = each.getMessage() == null ? words : each.getMessage();
    }
    return words.lines().findFirst().orElse(words);
  }

  @Override
  public void close() throws IOException {
    file.close();
  }

  /** The columns of a group of rows. */
  private final class Group implements PageReadStore {
    private final Map<List<String>, PageReader> pages = new LinkedHashMap<>();
    private final long rowCount;

    Group(RowGroup group) {
      rowCount = group.getNum_rows();
      ColumnPages.Held held = new ColumnPages.Held();
      for (ColumnChunk chunk : group.getColumns()) {
        pages.put(
            chunk.getMeta_data().getPath_in_schema(),
            new ColumnPages(file, chunk.getMeta_data(), held));
      }
    }

    @Override
    public PageReader getPageReader(ColumnDescriptor column) {
      return pages.get(List.of(column.getPath()));
    }

    @Override
    public long getRowCount() {
      return rowCount;
    }
  }
}
