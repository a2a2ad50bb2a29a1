package ai.nibble.data.parquet;

import ai.nibble.InvalidInputException;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.util.List;
import org.apache.parquet.column.ColumnDescriptor;
import org.apache.parquet.format.ColumnChunk;
import org.apache.parquet.format.ColumnMetaData;
import org.apache.parquet.format.FileMetaData;
import org.apache.parquet.format.RowGroup;
import org.apache.parquet.format.Util;
import org.apache.parquet.schema.MessageType;

/**
 * What the end of a file says of the rest, checked against the file's size.
 *
 * <p>Layout: {@code PAR1}, pages, the footer, its length (4 bytes, little-endian), {@code PAR1}.
 *
 * @param data the footer
 * @param schema of the rows
 */
record ParquetFooter(FileMetaData data, MessageType schema) {
  private static final int MAGIC_BYTES = 4;
  private static final int MAX_BYTES = 64 << 20;

  /** Rows of nothing but nulls take next to no bytes; so many a byte are believed, not more. */
  private static final long MOST_ROWS_PER_BYTE = 64;

  /**
   * @throws InvalidInputException without the file's name, for whatever does not fit
   */
  static ParquetFooter read(FileChannel file) throws IOException {
    long size = file.size();
    if (size < 2 * MAGIC_BYTES + Integer.BYTES) {
      throw new InvalidInputException("has " + size + " bytes, expected a Parquet file");
    }
    String begin = magic(file, 0);
    String end = magic(file, size - MAGIC_BYTES);
    if (begin.equals("PARE") || end.equals("PARE")) {
      throw new InvalidInputException("is encrypted, which is not supported: decrypt it first");
    }
    if (!begin.equals("PAR1")) {
      throw new InvalidInputException("is no Parquet file: it does not begin with PAR1");
    }
    if (!end.equals("PAR1")) {
      throw new InvalidInputException("is cut short: it does not end with PAR1; get it again");
    }
    long trailer = size - MAGIC_BYTES - Integer.BYTES;
    int length = bytes(file, trailer, Integer.BYTES).getInt();
    if (length <= 0 || length > MAX_BYTES || length > trailer - MAGIC_BYTES) {
      throw new InvalidInputException(
          "is damaged: its footer claims " + Integer.toUnsignedLong(length) + " bytes");
    }
    FileMetaData data = parse(bytes(file, trailer - length, length).array());
    MessageType schema = ParquetSchema.of(data.getSchema());
    check(data, schema, trailer - length);
    return new ParquetFooter(data, schema);
  }

  private static FileMetaData parse(byte[] footer) {
    try {
      return Util.readFileMetaData(new ByteArrayInputStream(footer), footer.length);
    } catch (IOException | RuntimeException e) {
      throw new InvalidInputException("is damaged: its footer cannot be read", e);
    }
  }

  /** The columns of each group of rows, within what stands before the footer. */
  private static void check(FileMetaData data, MessageType schema, long end) {
    List<ColumnDescriptor> leaves = schema.getColumns();
    long rows = 0;
    for (RowGroup group : data.getRow_groups()) {
      long claimed = group.getNum_rows();
      rows += claimed;
      if (claimed < 0 || rows < 0 || rows > end * MOST_ROWS_PER_BYTE) {
        throw new InvalidInputException(
            "is damaged: it claims " + claimed + " rows in " + end + " bytes");
      }
      if (group.getColumnsSize() != leaves.size()) {
        throw new InvalidInputException(
            "is damaged: a group of rows has "
                + group.getColumnsSize()
                + " columns, its schema "
                + leaves.size());
      }
      for (int i = 0; i < leaves.size(); i++) {
        checkColumn(group.getColumns().get(i), leaves.get(i), claimed, end);
      }
    }
    if (rows != data.getNum_rows()) {
      throw new InvalidInputException(
          "is damaged: it claims " + data.getNum_rows() + " rows, its groups have " + rows);
    }
  }

  private static void checkColumn(ColumnChunk chunk, ColumnDescriptor leaf, long rows, long end) {
    String name = String.join(".", leaf.getPath());
    ColumnMetaData column = chunk.getMeta_data();
    if (column == null || chunk.isSetFile_path()) {
      throw new InvalidInputException(
          "keeps column '" + name + "' encrypted or in another file, which is not supported");
    }
    if (!List.of(leaf.getPath()).equals(column.getPath_in_schema())) {
      throw new InvalidInputException(
          "is damaged: column " + column.getPath_in_schema() + " where '" + name + "' belongs");
    }
    long values = column.getNum_values();
    boolean isList = leaf.getMaxRepetitionLevel() > 0;
    if (values < rows || values > rows && !isList) {
      throw new InvalidInputException(
          "is damaged: column '" + name + "' has " + values + " values in " + rows + " rows");
    }
    long begin = begin(column);
    long size = column.getTotal_compressed_size();
    boolean inside = begin >= MAGIC_BYTES && size >= 0 && begin <= end && size <= end - begin;
    if (values > 0 && !inside) {
      throw new InvalidInputException(
          "is damaged: column '" + name + "' claims bytes " + begin + " + " + size + " of " + end);
    }
    PageCodec.of(column.getCodec(), name);
  }

  /** Where a column's first page begins: its dictionary's, if it has one. */
  static long begin(ColumnMetaData column) {
    long data = column.getData_page_offset();
    long dictionary = column.getDictionary_page_offset();
    // some writers say 0 for none
    return column.isSetDictionary_page_offset() && dictionary > 0 && dictionary < data
        ? dictionary
        : data;
  }

  private static String magic(FileChannel file, long at) throws IOException {
    return new String(bytes(file, at, MAGIC_BYTES).array(), StandardCharsets.ISO_8859_1);
  }

  private static ByteBuffer bytes(FileChannel file, long at, int count) throws IOException {
    ByteBuffer bytes = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
    while (bytes.hasRemaining()) {
      if (file.read(bytes, at + bytes.position()) < 0) {
        throw new IOException("cut short while it was read");
      }
    }
    return bytes.flip();
  }
}
