package ai.nibble.data.parquet;

import ai.nibble.BoundedInput;
import ai.nibble.InvalidInputException;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.util.Arrays;
import java.util.zip.CRC32;
import org.apache.parquet.bytes.BytesInput;
import org.apache.parquet.column.Encoding;
import org.apache.parquet.column.page.DataPage;
import org.apache.parquet.column.page.DataPageV1;
import org.apache.parquet.column.page.DataPageV2;
import org.apache.parquet.column.page.DictionaryPage;
import org.apache.parquet.column.page.PageReader;
import org.apache.parquet.format.ColumnMetaData;
import org.apache.parquet.format.DataPageHeader;
import org.apache.parquet.format.DataPageHeaderV2;
import org.apache.parquet.format.DictionaryPageHeader;
import org.apache.parquet.format.PageHeader;
import org.apache.parquet.format.PageType;
import org.apache.parquet.format.Util;

/** The pages of one column of a group of rows, read one at a time as they are asked for. */
final class ColumnPages implements PageReader {
  private static final int MAX_PAGE = 64 << 20;

  /** Unfolded bytes that are held at once, of all columns. */
  static final class Held {
    private static final long MOST = 256L << 20;
    private long bytes;

    private void replace(int before, int now) {
      bytes += now - before;
      if (bytes > MOST) {
        throw new InvalidInputException(
            "its columns unfold to more than " + (MOST >> 20) + " MiB at once");
      }
    }
  }

  private final ColumnMetaData column;
  private final PageCodec codec;
  private final InputStream in;
  private final Held held;
  private PageHeader header;
  private byte[] page;
  private long values;
  private int dictionaryBytes;
  private int pageBytes;

  ColumnPages(FileChannel file, ColumnMetaData column, Held held) {
    this.column = column;
    this.codec = PageCodec.of(column.getCodec(), name());
    this.held = held;
    long begin = ParquetFooter.begin(column);
    this.in =
        new BufferedInputStream(
            new BoundedInput(file, begin, begin + column.getTotal_compressed_size()), 1 << 14);
  }

  private String name() {
    return String.join(".", column.getPath_in_schema());
  }

  @Override
  public long getTotalValueCount() {
    return column.getNum_values();
  }

  @Override
  public DictionaryPage readDictionaryPage() {
    try {
      if (column.getNum_values() <= 0 || header().getType() != PageType.DICTIONARY_PAGE) {
        return null;
      }
      DictionaryPageHeader dictionary = header.getDictionary_page_header();
      int size = size();
      byte[] bytes = codec.decompress(take(), size);
      int count = dictionary.getNum_values();
      if (count < 0 || count > bytes.length) {
        throw damaged("claims " + count + " values in a dictionary of " + bytes.length + " bytes");
      }
      held.replace(dictionaryBytes, bytes.length);
      dictionaryBytes = bytes.length;
      return new DictionaryPage(
          BytesInput.from(bytes), count, Encoding.valueOf(dictionary.getEncoding().name()));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Override
  public DataPage readPage() {
    try {
      while (values < column.getNum_values()) {
        PageType type = header().getType();
        if (type == PageType.DATA_PAGE && header.getData_page_header().getNum_values() != 0) {
          return data(header.getData_page_header());
        }
        if (type == PageType.DATA_PAGE_V2 && header.getData_page_header_v2().getNum_values() != 0) {
          return data(header.getData_page_header_v2());
        }
        take(); // an index, which readers may pass over, or a page of nothing
      }
      return null;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private DataPage data(DataPageHeader data) throws IOException {
    int size = size();
    byte[] bytes = codec.decompress(take(), size);
    hold(bytes.length);
    return new DataPageV1(
        BytesInput.from(bytes),
        counted(data.getNum_values()),
        size,
        null,
        Encoding.valueOf(data.getRepetition_level_encoding().name()),
        Encoding.valueOf(data.getDefinition_level_encoding().name()),
        Encoding.valueOf(data.getEncoding().name()));
  }

  private DataPage data(DataPageHeaderV2 data) throws IOException {
    int size = size();
    byte[] bytes = take();
    int repetition = data.getRepetition_levels_byte_length();
    int definition = data.getDefinition_levels_byte_length();
    int levels = repetition + definition;
    if (repetition < 0 || definition < 0 || levels < 0 || levels > Math.min(bytes.length, size)) {
      throw damaged("claims " + levels + " bytes of levels in a page of " + bytes.length);
    }
    byte[] rest = Arrays.copyOfRange(bytes, levels, bytes.length);
    boolean compressed = !data.isSetIs_compressed() || data.isIs_compressed();
    byte[] body = compressed ? codec.decompress(rest, size - levels) : rest;
    hold(levels + body.length);
    return DataPageV2.uncompressed(
        data.getNum_rows(),
        data.getNum_nulls(),
        counted(data.getNum_values()),
        BytesInput.from(bytes, 0, repetition),
        BytesInput.from(bytes, repetition, definition),
        Encoding.valueOf(data.getEncoding().name()),
        BytesInput.from(body),
        null);
  }

  private void hold(int bytes) {
    held.replace(pageBytes, bytes);
    pageBytes = bytes;
  }

  private int counted(int pageValues) {
    values += pageValues;
    if (pageValues < 0 || values > column.getNum_values()) {
      throw damaged("has more values than the " + column.getNum_values() + " claimed");
    }
    return pageValues;
  }

  /** The header of the next page, which stays until the page is taken. */
  private PageHeader header() throws IOException {
    if (header == null) {
      header = Util.readPageHeader(in);
      int compressed = header.getCompressed_page_size();
      int unfolded = header.getUncompressed_page_size();
      for (int bytes : new int[] {compressed, unfolded}) {
        if (bytes < 0 || bytes > MAX_PAGE) {
          throw damaged(
              "claims a page of "
                  + Integer.toUnsignedLong(bytes)
                  + " bytes, expected at most "
                  + (MAX_PAGE >> 20)
                  + " MiB");
        }
      }
      page = in.readNBytes(compressed);
      if (page.length < compressed) {
        throw damaged("breaks off within a page");
      }
      checkSum();
    }
    return header;
  }

  private void checkSum() {
    if (header.isSetCrc()) {
      CRC32 sum = new CRC32();
      sum.update(page);
      if ((int) sum.getValue() != header.getCrc()) {
        throw damaged("has a page whose checksum is wrong");
      }
    }
  }

  private int size() {
    return header.getUncompressed_page_size();
  }

  /** The page's bytes as they are stored; the next header is that of the next page. */
  private byte[] take() {
    header = null;
    byte[] taken = page;
    page = null;
    return taken;
  }

  private InvalidInputException damaged(String what) {
    return new InvalidInputException("column '" + name() + "' " + what);
  }
}
