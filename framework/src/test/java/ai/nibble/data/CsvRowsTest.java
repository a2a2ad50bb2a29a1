package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CsvRowsTest {
  @TempDir private Path directory;

  private List<Row> read(byte[] bytes) throws IOException {
    Path path = Files.write(directory.resolve("a.csv"), bytes);
    List<Row> rows = new ArrayList<>();
    try (RowFile file = new RowFile(path, Map.of())) {
      RowProblems.forEach(path.toString(), file, rows::add);
    }
    return rows;
  }

  private List<Row> read(String text) throws IOException {
    return read(text.getBytes(StandardCharsets.UTF_8));
  }

  private List<Map<String, Object>> columns(String text) throws IOException {
    return read(text).stream().map(Row::columns).toList();
  }

  private List<String> problems(String text) {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> read(text));
    e.problems().forEach(problem -> assertTrue(!problem.contains("\n"), problem));
    return e.problems().stream().map(p -> p.replace(directory + "/", "")).toList();
  }

  @Test
  void aHeaderNamesTheFields() throws IOException {
    assertEquals(
        List.of(Map.of("a", "1", "b", "x"), Map.of("a", "", "b", " y ")),
        columns("a,b\n1,x\n, y \n"));
    assertEquals(List.of(), columns("a,b\n"));
    assertEquals(List.of(), columns(""));
  }

  @Test
  void quotesHoldCommasQuotesAndLineEnds() throws IOException {
    List<Row> rows =
        read(
            "\ufeffa,b\r\n\"x, y\",\"say \"\"hi\"\"\"\r\n\r\n\"line 1\nline 2\",\"ü\"\r\nz,\"\"\r\n");
    assertEquals(
        List.of(
            Map.of("a", "x, y", "b", "say \"hi\""),
            Map.of("a", "line 1\nline 2", "b", "ü"),
            Map.of("a", "z", "b", "")),
        rows.stream().map(Row::columns).toList());
    assertEquals(
        List.of(2, 4, 6),
        rows.stream().map(row -> Integer.valueOf(row.where().replaceAll(".*:", ""))).toList());
  }

  @Test
  void nothingButTextComesOfAField() throws IOException {
    assertEquals(
        List.of(Map.of("a", "=cmd()", "b", "007"), Map.of("a", "true", "b", "null")),
        columns("a,b\n=cmd(),007\ntrue,null\n"));
  }

  @Test
  void aRowWithMoreOrFewerFieldsIsNamedAndThoseBehindItAreRead() {
    assertEquals(
        List.of(
            "a.csv:2: the row has 1 field, the header 2; a field with a comma, quote or line end"
                + " must be in quotes",
            "a.csv:4: the row has 3 fields, the header 2; a field with a comma, quote or line end"
                + " must be in quotes"),
        problems("a,b\n1\n1,2\n1,2,3\n1,2\n"));
  }

  @Test
  void aQuoteThatDoesNotCloseIsNamedWhereItsRowBegins() {
    List<String> problems = problems("a,b\n1,2\n3,\"four\n5,6\n7,8\n");
    assertEquals(1, problems.size(), problems::toString);
    assertTrue(
        problems.get(0).startsWith("a.csv:3: not valid CSV in the row that begins here: "),
        problems.get(0));
    assertTrue(problems.get(0).contains("quote"), problems.get(0));
    assertTrue(problems("a,b\n\"1\"x,2\n").get(0).startsWith("a.csv:2: not valid CSV"));
  }

  @Test
  void aRowWithoutEndIsRefused() {
    byte[] bytes = new byte[(64 << 20) + 10_000];
    Arrays.fill(bytes, (byte) 'x');
    System.arraycopy("a\n\"".getBytes(StandardCharsets.UTF_8), 0, bytes, 0, 3);
    String message = assertThrows(InvalidInputException.class, () -> read(bytes)).getMessage();
    assertTrue(
        message.endsWith(
            "a.csv:2: the row that begins here is longer than 64 MiB: is a quote not closed?"),
        message);
  }

  @Test
  void aHeaderThatCannotNameColumnsIsRefused() {
    assertEquals(
        List.of("a.csv:1: the header has two columns 'a': rename one"), problems("a,b,a\n1,2,3\n"));
    assertEquals(
        List.of("a.csv:1: column 2 of the header has no name: give it one"), problems("a,,b\n"));
    assertEquals(
        List.of("a.csv:1: the header is one column, 'a;b', expected commas between columns"),
        problems("a;b\n1;2\n"));
  }

  @Test
  void otherEncodingsAreNamed() {
    for (Charset charset : List.of(StandardCharsets.UTF_16, StandardCharsets.ISO_8859_1)) {
      byte[] bytes = "a,b\nä,ö\n".getBytes(charset);
      String message = assertThrows(InvalidInputException.class, () -> read(bytes)).getMessage();
      assertTrue(message.contains("UTF-"), message);
    }
  }

  @Test
  void aByteThatIsNoUtf8IsNotReplaced() {
    byte[] bytes = ("a\n" + "x\n".repeat(5000) + "ä\n").getBytes(StandardCharsets.ISO_8859_1);
    String message = assertThrows(InvalidInputException.class, () -> read(bytes)).getMessage();
    assertTrue(message.endsWith("not valid UTF-8 in this line or behind"), message);
  }

  @Test
  void messagesAreReadFromJsonTextInAField() throws IOException {
    String json = "[{\"\"role\"\": \"\"user\"\", \"\"content\"\": \"\"hi\"\"}]";
    Row row = read("messages\n\"" + json + "\"\n").get(0);
    assertEquals(List.of(Map.of("role", "user", "content", "hi")), row.objects("messages"));
  }
}
