package ai.nibble.data.parquet;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.math.BigDecimal;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Consumer;
import org.apache.parquet.format.CompressionCodec;
import org.apache.parquet.format.FileMetaData;
import org.apache.parquet.format.Util;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Against files that pyarrow and the datasets library wrote; golden.py beside them says how. */
class ParquetRowsTest {
  @TempDir private Path directory;

  private static Path file(String name) {
    URL url = ParquetRowsTest.class.getResource("/ai/nibble/data/parquet/" + name);
    try {
      return Path.of(url.toURI());
    } catch (URISyntaxException e) {
      throw new AssertionError(e);
    }
  }

  private static List<Object> rows(Path file) throws IOException {
    List<Object> rows = new ArrayList<>();
    try (ParquetRows parquet = new ParquetRows(file)) {
      for (Map<String, Object> row = parquet.next(); row != null; row = parquet.next()) {
        rows.add(comparable(row));
      }
      assertEquals(rows.size(), parquet.rows());
      assertNull(parquet.next());
    }
    return rows;
  }

  /** As golden.py writes what JSON has no word for. */
  private static Object comparable(Object value) {
    if (value instanceof Map<?, ?> map) {
      Map<Object, Object> copy = new LinkedHashMap<>();
      map.forEach((key, each) -> copy.put(key, comparable(each)));
      return copy;
    }
    if (value instanceof List<?> list) {
      List<Object> copy = new ArrayList<>();
      list.forEach(each -> copy.add(comparable(each)));
      return copy;
    }
    if (value instanceof byte[] bytes) {
      return Map.of("bytes", HexFormat.of().formatHex(bytes));
    }
    return value instanceof BigDecimal number ? Map.of("decimal", number.toString()) : value;
  }

  private static List<Object> json(String name) throws IOException {
    ObjectMapper mapper = new ObjectMapper();
    List<Object> rows = new ArrayList<>();
    for (String line : Files.readAllLines(file(name))) {
      rows.add(mapper.readValue(line, Object.class));
    }
    return rows;
  }

  private static void assertRows(List<Object> expected, List<Object> rows) {
    assertEquals(expected.size(), rows.size());
    for (int i = 0; i < rows.size(); i++) {
      Map<?, ?> row = (Map<?, ?>) rows.get(i);
      Map<?, ?> wanted = (Map<?, ?>) expected.get(i);
      assertEquals(List.copyOf(wanted.keySet()), List.copyOf(row.keySet()));
      for (Object column : wanted.keySet()) {
        assertEquals(wanted.get(column), row.get(column), "row " + i + ", " + column);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"none", "snappy", "gzip", "zstd", "lz4"})
  void everyTypeIsWhatItIsInJson(String codec) throws IOException {
    List<Object> expected = json("types.jsonl");
    assertEquals(20, expected.size());
    assertRows(expected, rows(file("types-" + codec + "-v1.parquet")));
    assertRows(expected, rows(file("types-" + codec + "-v2.parquet")));
  }

  @Test
  void everyEncodingIsRead() throws IOException {
    assertRows(json("types.jsonl"), rows(file("types-encodings.parquet")));
  }

  @Test
  void conversationsOfTheDatasetsLibraryAreThoseOfItsJson() throws IOException {
    List<Object> rows = rows(file("chats.parquet"));
    assertRows(json("chats.jsonl"), rows);
    assertFalse(rows.get(1).toString().contains("tool_calls"), "a null field is no field");
  }

  @Test
  void oldTimestampsAreRead() throws IOException {
    assertEquals(
        List.of(
            Map.of("utc", "2026-11-26T01:02:03Z"), Map.of("utc", "2026-11-26T01:02:03.000001Z")),
        rows(file("int96.parquet")));
  }

  @Test
  void aFileWithoutRowsHasColumns() throws IOException {
    try (ParquetRows rows = new ParquetRows(file("empty.parquet"))) {
      assertNull(rows.next());
      assertEquals(Map.of("text", "string"), rows.columns());
    }
    try (ParquetRows rows = new ParquetRows(file("types-none-v1.parquet"))) {
      assertEquals("list<list<int32>>", rows.columns().get("grid"));
      assertEquals("map<string, int32>", rows.columns().get("map"));
      assertEquals(
          "struct<x: int32, tag: string, deep: struct<list: list<struct<a: integer(16,true)>>>>",
          rows.columns().get("point"));
    }
  }

  private String refusal(byte[] bytes) throws IOException {
    Path file = Files.write(directory.resolve("a.parquet"), bytes);
    return refusal(file);
  }

  private String refusal(Path file) {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> rows(file));
    assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
    assertFalse(e.getMessage().contains("\n"), e.getMessage());
    return e.getMessage().substring(file.toString().length());
  }

  @Test
  void whatIsNoParquetFileIsSaid() throws IOException {
    assertEquals(": the file has 5 bytes, expected a Parquet file", refusal(new byte[5]));
    assertTrue(refusal("{\"text\": \"x\"}\n".getBytes()).contains("does not begin with PAR1"));
    byte[] whole = Files.readAllBytes(file("chats.parquet"));
    assertEquals(
        ": the file is cut short: it does not end with PAR1; get it again",
        refusal(Arrays.copyOf(whole, whole.length - 1)));
    byte[] encrypted = whole.clone();
    encrypted[3] = 'E';
    assertTrue(refusal(encrypted).contains("is encrypted"));
    byte[] longFooter = whole.clone();
    ByteBuffer.wrap(longFooter).order(ByteOrder.LITTLE_ENDIAN).putInt(whole.length - 8, 1 << 30);
    assertEquals(": the file is damaged: its footer claims 1073741824 bytes", refusal(longFooter));
    assertTrue(
        refusal(file("brotli.parquet"))
            .endsWith(
                "has column 'text' compressed with BROTLI, expected one of [snappy, zstd, gzip,"
                    + " lz4_raw, uncompressed]: write it again"));
  }

  @Test
  void aPageThatUnfoldsBeyondBoundsIsNotUnfolded() {
    assertEquals(
        ": row 1: the file is damaged: column 'text' claims a page of 83886090 bytes, expected at"
            + " most 64 MiB",
        refusal(file("bomb.parquet")));
  }

  /** The file with another footer. */
  private byte[] withFooter(String name, Consumer<FileMetaData> change) throws IOException {
    byte[] whole = Files.readAllBytes(file(name));
    int length = ByteBuffer.wrap(whole).order(ByteOrder.LITTLE_ENDIAN).getInt(whole.length - 8);
    int begin = whole.length - 8 - length;
    FileMetaData footer = Util.readFileMetaData(new ByteArrayInputStream(whole, begin, length));
    change.accept(footer);
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    out.write(whole, 0, begin);
    Util.writeFileMetaData(footer, out);
    byte[] tail = new byte[8];
    ByteBuffer.wrap(tail)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putInt(out.size() - begin)
        .put("PAR1".getBytes());
    out.write(tail);
    return out.toByteArray();
  }

  @Test
  void countsAndPlacesThatCannotBeAreRefused() throws IOException {
    String name = "chats.parquet";
    assertEquals(2, rows(Files.write(directory.resolve("b"), withFooter(name, f -> {}))).size());
    for (long rows : new long[] {1L << 31, 1L << 62, -1}) {
      String claim = refusal(withFooter(name, f -> f.getRow_groups().get(0).setNum_rows(rows)));
      assertTrue(claim.contains("it claims " + rows + " rows in "), claim);
    }
    assertTrue(
        refusal(withFooter(name, f -> f.setNum_rows(3)))
            .endsWith("is damaged: it claims 3 rows, its groups have 2"));
    for (long offset : new long[] {-1, 0, 1 << 20, 1L << 62}) {
      String place =
          refusal(
              withFooter(
                  name,
                  f -> {
                    var column = f.getRow_groups().get(0).getColumns().get(0).getMeta_data();
                    column.setData_page_offset(offset);
                    column.unsetDictionary_page_offset();
                  }));
      assertTrue(place.contains("'messages.list.element.role' claims bytes " + offset), place);
    }
    assertTrue(
        refusal(withFooter(name, f -> f.getSchema().get(0).setNum_children(1 << 30)))
            .contains("in its schema has 1073741824 fields"));
    assertTrue(
        refusal(
                withFooter(
                    name,
                    f ->
                        f.getRow_groups()
                            .get(0)
                            .getColumns()
                            .get(0)
                            .getMeta_data()
                            .setCodec(CompressionCodec.LZO)))
            .contains("compressed with LZO"));
    assertTrue(
        refusal(withFooter(name, f -> f.getRow_groups().get(0).getColumns().remove(0)))
            .contains("a group of rows has "));
    assertTrue(
        refusal(
                withFooter(
                    name,
                    f -> f.getRow_groups().get(0).getColumns().get(0).setFile_path("/etc/passwd")))
            .contains("in another file, which is not supported"));
    String lacking =
        refusal(
            withFooter(
                name,
                f -> {
                  f.setNum_rows(5);
                  f.getRow_groups().get(0).setNum_rows(5);
                }));
    assertTrue(lacking.endsWith("column 'tools' has 2 values in 5 rows"), lacking);
  }

  @Test
  void aListOfTheFootersThatClaimsBillionsTakesNoMemory() throws IOException {
    // version 1, then a list of structs of 2^31 − 1 elements in the compact protocol
    byte[] footer = HexFormat.of().parseHex("1502" + "19fc" + "ffffffff07");
    ByteBuffer file = ByteBuffer.allocate(footer.length + 12).order(ByteOrder.LITTLE_ENDIAN);
    file.put("PAR1".getBytes()).put(footer).putInt(footer.length).put("PAR1".getBytes());
    assertEquals(": the file is damaged: its footer cannot be read", refusal(file.array()));
  }

  @ParameterizedTest
  @ValueSource(strings = {"chats.parquet", "types-snappy-v1.parquet", "types-encodings.parquet"})
  void noChangeOfBytesCausesAnythingButALine(String name) throws IOException {
    byte[] whole = Files.readAllBytes(file(name));
    Random random = new Random(1);
    int refused = 0;
    for (int i = 0; i < 400; i++) {
      byte[] changed =
          i % 4 == 0 ? Arrays.copyOf(whole, random.nextInt(whole.length)) : whole.clone();
      for (int j = 0; j < 1 + i % 3 && changed.length > 0; j++) {
        changed[random.nextInt(changed.length)] = (byte) random.nextInt();
      }
      Path file = Files.write(directory.resolve("m.parquet"), changed);
      try {
        rows(file);
      } catch (InvalidInputException e) {
        assertTrue(e.getMessage().startsWith(file.toString()), e.getMessage());
        assertFalse(e.getMessage().contains("\n"), e.getMessage());
        refused++;
      }
    }
    assertTrue(refused > 200, "refused: " + refused);
  }
}
