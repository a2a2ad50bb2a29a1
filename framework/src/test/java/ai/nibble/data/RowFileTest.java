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

class RowFileTest {
  @TempDir private Path directory;

  private List<Row> read(String name, byte[] bytes) throws IOException {
    Path path = directory.resolve(name);
    Files.write(path, bytes);
    List<Row> rows = new ArrayList<>();
    try (RowFile file = new RowFile(path, Map.of())) {
      file.forEachRemaining(rows::add);
    }
    return rows;
  }

  private List<Row> read(String name, String text) throws IOException {
    return read(name, text.getBytes(StandardCharsets.UTF_8));
  }

  private String refusal(String name, byte[] bytes) {
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> read(name, bytes));
    assertTrue(!e.getMessage().contains("\n"), e.getMessage());
    return e.getMessage().replace(directory + "/", "");
  }

  private String refusal(String name, String text) {
    return refusal(name, text.getBytes(StandardCharsets.UTF_8));
  }

  @Test
  void linesArraysAndTextGiveRows() throws IOException {
    List<Row> lines =
        read("a.jsonl", "\ufeff{\"a\": \"x\"}\r\n\r\n  {\"a\": null, \"b\": [1, 2.5]}");
    assertEquals(List.of("x"), lines.stream().limit(1).map(r -> r.value("a")).toList());
    assertEquals(directory.resolve("a.jsonl") + ":3", lines.get(1).where());
    assertEquals(Arrays.asList(1, 2.5), lines.get(1).value("b"));
    List<Row> array = read("a.json", "\n[ {\"a\": 1},\n {\"a\": 2} ]\n");
    assertEquals(2, array.size());
    assertTrue(array.get(1).where().endsWith("a.json:3: row 2"), array.get(1).where());
    assertEquals(2, read("b.json", "{\"a\": 1}\n{\"a\": 2}\n").size());
    List<Row> text = read("a.txt", "one\n\n two \n");
    assertEquals(List.of("one", " two "), text.stream().map(r -> r.text("text")).toList());
    for (String name : List.of("e.jsonl", "e.json", "e.txt")) {
      assertEquals(0, read(name, " \n\n").size());
      assertEquals(0, read(name, "").size());
    }
    assertEquals(0, read("e.json", "[]").size());
  }

  @Test
  void badLinesAreNamed() {
    assertTrue(
        refusal("a.jsonl", "{\"a\": 1}\n{\"a\": }\n").startsWith("a.jsonl:2:7: not valid JSON"));
    assertTrue(
        refusal("a.jsonl", "{\"a\": 1}\n[1]\n").startsWith("a.jsonl:2: expected a JSON object"));
    assertTrue(refusal("a.jsonl", "{\"a\": 1} {\"a\": 2}\n").startsWith("a.jsonl:1:"));
    assertTrue(refusal("a.jsonl", "{\"a\": 1, \"a\": 2}\n").contains("Duplicate"));
    assertTrue(refusal("a.json", "[{\"a\": 1},\n{\"a\"]\n").startsWith("a.json:2:"));
    assertTrue(refusal("a.json", "[{\"a\": 1},\n").startsWith("a.json:"));
    assertTrue(refusal("a.json", "[{\"a\": 1}]\n7").startsWith("a.json:2: something follows"));
    assertTrue(refusal("a.json", "[1]").startsWith("a.json:1: row 1: expected a JSON object"));
    assertTrue(refusal("a.jsonl", "[".repeat(100_000)).startsWith("a.jsonl:1:"));
    assertTrue(refusal("a.json", "[".repeat(100_000)).startsWith("a.json:1:"));
  }

  @Test
  void otherEncodingsAreNamed() {
    for (String charset : List.of("UTF-16", "UTF-16LE", "UTF-16BE", "ISO-8859-1")) {
      byte[] bytes = "{\"a\": \"é\"}\n".getBytes(Charset.forName(charset));
      String message = refusal("a.jsonl", bytes);
      assertTrue(message.contains("UTF-"), charset + ": " + message);
      assertTrue(message.startsWith("a.jsonl:1"), message);
    }
  }

  @Test
  void aLineWithoutEndIsRefused() {
    byte[] bytes = new byte[(64 << 20) + 10];
    Arrays.fill(bytes, (byte) 'a');
    bytes[0] = '\n';
    assertEquals("a.jsonl:2: the line is longer than 64 MiB", refusal("a.jsonl", bytes));
  }

  @Test
  void whatIsNoDataFileIsRefused() throws IOException {
    Path link = directory.resolve("link.jsonl");
    Files.createSymbolicLink(link, Path.of("gone"));
    Path circle = directory.resolve("circle.jsonl");
    Files.createSymbolicLink(circle, Path.of("circle.jsonl"));
    Path folder = Files.createDirectory(directory.resolve("d.jsonl"));
    for (Path path :
        List.of(link, circle, folder, directory.resolve("no.jsonl"), directory.resolve("a.bin"))) {
      assertThrows(InvalidInputException.class, () -> new RowFile(path, Map.of()), path.toString());
    }
    String message =
        assertThrows(InvalidInputException.class, () -> new RowFile(link, Map.of())).getMessage();
    assertEquals(
        link + ": expected a data file, this is a symbolic link to what is not there", message);
  }

  /**
   * As the cache of Hugging Face's tools has them: the name is the link's, the content a blob's.
   */
  @Test
  void aSymbolicLinkIsReadAsTheFileItLeadsTo() throws IOException {
    Path blob = Files.createDirectory(directory.resolve("blobs")).resolve("0a1b");
    Files.writeString(blob, "{\"text\":\"a\"}\n");
    Path link = directory.resolve("rows.jsonl");
    Files.createSymbolicLink(link, Path.of("blobs/0a1b"));
    try (RowFile rows = new RowFile(link, Map.of())) {
      assertEquals("a", rows.next().text("text"));
    }
  }

  @Test
  void aPipeIsRefusedWithoutWaitingForIt() throws IOException, InterruptedException {
    Path pipe = directory.resolve("p.jsonl");
    assertEquals(0, new ProcessBuilder("mkfifo", pipe.toString()).start().waitFor());
    String message =
        assertThrows(InvalidInputException.class, () -> new RowFile(pipe, Map.of())).getMessage();
    assertEquals(pipe + ": expected a data file, this is a pipe or device", message);
  }
}
