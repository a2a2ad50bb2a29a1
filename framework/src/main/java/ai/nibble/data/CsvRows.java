package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.MappingIterator;
import com.fasterxml.jackson.dataformat.csv.CsvFactory;
import com.fasterxml.jackson.dataformat.csv.CsvMapper;
import com.fasterxml.jackson.dataformat.csv.CsvParser;
import java.io.FilterReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.Reader;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Comma-separated values (RFC 4180): a header names the columns, a field may be in quotes and then
 * hold commas, line ends and doubled quotes. Every field is text, also {@code 1} and {@code =A1};
 * one that is empty is empty text. Blank lines are skipped.
 */
final class CsvRows implements RowReader {
  /** Characters, as of a line of JSON bytes; more is a quote that nobody closed. */
  private static final int MAX_ROW = 64 << 20;

  private static final CsvMapper MAPPER =
      CsvMapper.builder(
              CsvFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder().maxStringLength(MAX_ROW).build())
                  .build())
          .enable(CsvParser.Feature.WRAP_AS_ARRAY)
          .enable(CsvParser.Feature.SKIP_EMPTY_LINES)
          .build();

  private final Path path;
  private final Bounded text;
  private final MappingIterator<List<String>> fields;
  private final List<String> header;
  private boolean ended;

  /**
   * Reads the header.
   *
   * @param in behind a byte order mark
   */
  CsvRows(Path path, InputStream in) throws IOException {
    this.path = path;
    // a new decoder reports malformed bytes instead of replacing them
    this.text = new Bounded(new InputStreamReader(in, StandardCharsets.UTF_8.newDecoder()));
    try {
      this.fields = MAPPER.readerForListOf(String.class).readValues(text);
    } catch (IOException e) { // the parser looks at the first characters already
      throw refused(1, e);
    }
    List<String> names = fields();
    this.header = names == null ? List.of() : List.copyOf(names);
    checkHeader();
  }

  private void checkHeader() {
    Set<String> seen = new HashSet<>();
    for (int i = 0; i < header.size(); i++) {
      String name = header.get(i);
      if (name.isBlank()) {
        throw new InvalidInputException(
            path + ":1: column " + (i + 1) + " of the header has no name: give it one");
      }
      if (!seen.add(name)) {
        throw new InvalidInputException(
            path + ":1: the header has two columns '" + name + "': rename one");
      }
    }
    if (header.size() == 1 && header.get(0).matches(".*[;\t].*")) {
      throw new InvalidInputException(
          path
              + ":1: the header is one column, "
              + Row.describe(header.get(0))
              + ", expected commas between columns");
    }
  }

  @Override
  public Raw next() throws IOException {
    long before = line();
    List<String> values = fields();
    if (values == null) {
      return null;
    }
    String where = path + ":" + before;
    if (values.size() != header.size()) {
      throw new InvalidInputException(
          where
              + ": the row has "
              + values.size()
              + (values.size() == 1 ? " field" : " fields")
              + ", the header "
              + header.size()
              + "; a field with a comma, quote or line end must be in quotes");
    }
    Map<String, Object> columns = new LinkedHashMap<>();
    for (int i = 0; i < values.size(); i++) {
      columns.put(header.get(i), values.get(i));
    }
    return new Raw(columns, where);
  }

  /** The line that the parser has come to, from 1. */
  private long line() {
    return fields.getCurrentLocation().getLineNr();
  }

  private List<String> fields() throws IOException {
    if (ended) {
      return null;
    }
    long begin = line();
    text.left = MAX_ROW;
    try {
      if (fields.hasNextValue()) {
        return fields.nextValue();
      }
      ended = true;
      return null;
    } catch (IOException e) {
      ended = true;
      throw refused(begin, e);
    }
  }

  /**
   * What is wrong with the row that begins at a line; the parser hands on what its reader threw.
   */
  private InvalidInputException refused(long line, IOException e) throws IOException {
    String where = path + ":" + line + ": ";
    if (text.left < 0) {
      String most = (MAX_ROW >> 20) + " MiB: is a quote not closed?";
      return new InvalidInputException(
          where + "the row that begins here is longer than " + most, e);
    }
    if (e instanceof CharacterCodingException || e.getCause() instanceof CharacterCodingException) {
      return new InvalidInputException(where + "not valid UTF-8 in this line or behind", e);
    }
    if (e instanceof JsonProcessingException problem) {
      return new InvalidInputException(
          where + "not valid CSV in the row that begins here: " + JsonFiles.message(problem), e);
    }
    throw e;
  }

  /** Stops a parser that would go on to the end of the file. */
  private static final class Bounded extends FilterReader {
    private int left = MAX_ROW;

    Bounded(Reader in) {
      super(in);
    }

    @Override
    public int read(char[] to, int offset, int length) throws IOException {
      int read = super.read(to, offset, length);
      left -= Math.max(0, read);
      if (left < 0) {
        throw new IOException("a row without end");
      }
      return read;
    }
  }

  @Override
  public Map<String, String> columns() {
    Map<String, String> types = new LinkedHashMap<>();
    header.forEach(name -> types.put(name, "text"));
    return types;
  }

  @Override
  public void close() throws IOException {
    fields.close();
  }
}
