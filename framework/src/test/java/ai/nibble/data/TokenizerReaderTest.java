package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TokenizerReaderTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Characters of one to four bytes stand before each value that the library is not given. */
  private static final String FILE =
      """
      {"é😀": 1, "post_processor" : {"type": "TemplateProcessing", "single": [], "pair": [],
       "special_tokens": {"ä": {"id": "ä", "ids": [0], "tokens": ["ä"]}}}, "version": "1.0",
       "truncation":{"direction": "Right", "max_length": 4, "stride": 0, "x": "]}\\"😀"},
       "added_tokens": [{"id": 3, "content": "日本", "single_word": false, "lstrip": false,
         "rstrip": false, "normalized": false, "special": true}],
       "model": {"type": "BPE", "merges": [["a", "b"]], "dropout":0.25,"unk_token": "ab",
         "vocab": {"a": 0, "b": 1, "ab": 2}, "end": "ü"},
       "padding": {"strategy": {"Fixed": 9}} , "decoder": null}""";

  @TempDir private Path directory;

  private Path write(String json) throws IOException {
    return Files.writeString(directory.resolve("tokenizer.json"), json);
  }

  @Test
  void theLibraryIsGivenTheFileButForWhatIsNotItsToDo() throws IOException {
    for (String mark : new String[] {"", "\uFEFF"}) {
      Path path = write(mark + FILE);
      ObjectNode expected = (ObjectNode) JSON.readTree(FILE);
      TokenizerReader.NOT_THE_LIBRARYS.forEach(expected::putNull);
      ((ObjectNode) expected.get("model")).putNull("dropout");
      TokenizerReader reader = TokenizerReader.read(path);
      String given = new String(reader.forLibrary().readAllBytes(), StandardCharsets.UTF_8);
      ((ObjectNode) expected.get("model")).putArray("merges").add("a b");
      assertEquals(expected, JSON.readTree(given));
      int shorter = "[\"a\", \"b\"]".length() - "\"a b\"".length();
      assertEquals(FILE.length(), given.length() + removed(given) + shorter);
      assertEquals(4, reader.file().ids().size());
      assertEquals(JSON.readTree(FILE), mark.isEmpty() ? reader.file().tree() : expectedTree());
      assertTrue(reader.file().outline().path("model").path("vocab").isMissingNode());
    }
  }

  private static JsonNode expectedTree() throws IOException {
    return JSON.readTree(FILE);
  }

  /** How much longer four values are than the word null. */
  private static int removed(String given) throws IOException {
    int more = 0;
    for (String value :
        new String[] {
          FILE.substring(FILE.indexOf("{\"type\": \"Temp"), FILE.indexOf(", \"version\"")),
          FILE.substring(FILE.indexOf("{\"direction"), FILE.indexOf(",\n \"added")),
          FILE.substring(FILE.indexOf("{\"strategy"), FILE.indexOf(" , \"decoder")),
          "0.25"
        }) {
      assertTrue(!given.contains(value), value);
      more += value.length() - 4;
    }
    return more;
  }

  /** The older form of merges parts at a space, and leaves out what looks like a comment. */
  @Test
  void mergesThatTheOlderFormCannotSayStayAsTheyAre() throws IOException {
    for (String[] tokens : new String[][] {{"a ", "b"}, {"#version", "b"}}) {
      String json =
          FILE.replace("\"a\"", "\"" + tokens[0] + "\"")
              .replace("\"ab\"", "\"" + tokens[0] + "b\"");
      TokenizerReader reader = TokenizerReader.read(write(json));
      JsonNode given = JSON.readTree(reader.forLibrary().readAllBytes());
      assertEquals(
          JSON.createArrayNode().add(tokens[0]).add(tokens[1]), given.at("/model/merges/0"));
      write(json.replace("\"é😀\": 1, ", "")); // no key of the library's
      Tokenizer.load(directory).close();
    }
    String older = FILE.replace("[[\"a\", \"b\"]]", "[\"a b\"]");
    TokenizerReader reader = TokenizerReader.read(write(older));
    JsonNode given = JSON.readTree(reader.forLibrary().readAllBytes());
    assertEquals("a b", given.at("/model/merges/0").asText());
  }

  @Test
  void aFileThatChangedIsNotReadAgain() throws IOException {
    Path path = write(FILE);
    TokenizerFile file = TokenizerFile.read(path);
    write(FILE + " ");
    String message = assertThrows(InvalidInputException.class, file::tree).getMessage();
    assertTrue(message.contains("was changed while it is in use"), message);
  }

  @Test
  void anythingTwiceIsRefused() throws IOException {
    for (String[] change :
        new String[][] {
          {"\"decoder\": null", "\"padding\": null"},
          {"\"end\": \"ü\"", "\"vocab\": {}"},
          {"\"end\": \"ü\"", "\"type\": \"BPE\""},
          {"\"b\": 1", "\"a\": 1"},
          {"\"special\": true", "\"id\": 3"}
        }) {
      assertTrue(FILE.contains(change[0]));
      Path path = write(FILE.replace(change[0], change[1]));
      String message =
          assertThrows(InvalidInputException.class, () -> TokenizerFile.read(path)).getMessage();
      assertTrue(message.matches(".*(twice|Duplicate field).*"), message);
    }
  }

  @Test
  void bytesThatAreNotUtf8AreRefusedByTheirPlace() throws IOException {
    Path path = directory.resolve("tokenizer.json");
    byte[] bytes = FILE.getBytes(StandardCharsets.UTF_8);
    bytes[2] = (byte) 0xff;
    Files.write(path, bytes);
    String message =
        assertThrows(InvalidInputException.class, () -> TokenizerFile.read(path)).getMessage();
    assertTrue(message.contains("not valid UTF-8 at byte 2"), message);
    Files.write(path, FILE.getBytes(StandardCharsets.UTF_16BE));
    assertThrows(InvalidInputException.class, () -> TokenizerFile.read(path));
  }

  @Test
  void halfOfASurrogatePairIsRefusedWhereverItStands() throws IOException {
    for (String place :
        new String[] {"\"a\": 0", "日本", "\"end\": \"ü\"", "\"unk_token\": \"ab\""}) {
      String half = place.contains(":") ? place.replaceAll("[abü]\"", "\\\\ud800\"") : "\\ud800";
      assertTrue(FILE.contains(place));
      Path path = write(FILE.replace(place, half));
      String message =
          assertThrows(InvalidInputException.class, () -> TokenizerFile.read(path)).getMessage();
      assertTrue(message.contains("half of a surrogate pair, U+D800"), message);
    }
    // both halves are a character
    write(FILE.replace("日本", "\\ud83d\\ude00"));
    assertEquals(3, TokenizerFile.read(directory.resolve("tokenizer.json")).ids().get("😀"));
  }

  @Test
  void aFileOfAGigabyteIsRefusedUnread() throws IOException {
    Path path = directory.resolve("tokenizer.json");
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    for (long size : new long[] {1L << 30, 200L << 20}) {
      try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
        file.setLength(size);
      }
      long before = threads.getThreadAllocatedBytes(Thread.currentThread().getId());
      String message =
          Assertions.assertTimeout(
              Duration.ofSeconds(20),
              () ->
                  assertThrows(InvalidInputException.class, () -> Tokenizer.load(directory))
                      .getMessage());
      long used = threads.getThreadAllocatedBytes(Thread.currentThread().getId()) - before;
      boolean large = size == 1L << 30;
      assertTrue(used < (large ? 1L << 23 : 2 * size), used + " bytes");
      assertTrue(
          message.contains(large ? "1073741824 bytes, expected at most" : "not valid UTF-8"),
          message);
    }
  }

  @Test
  void whatIsCutShortOrGoesOnIsToldByItsPlace() throws IOException {
    for (int length = FILE.length() - 1; length > 0; length -= 7) {
      Path path = write(FILE.substring(0, length));
      assertThrows(InvalidInputException.class, () -> TokenizerFile.read(path));
    }
    Path path = write(FILE + "\n{}");
    String message =
        assertThrows(InvalidInputException.class, () -> TokenizerFile.read(path)).getMessage();
    assertTrue(
        message.endsWith(
            "tokenizer.json:9:1: something follows the JSON object: fetch the file again"),
        message);
    Path deep = write(FILE.replace("\"decoder\": null", "\"decoder\": " + "[".repeat(70)));
    message =
        assertThrows(InvalidInputException.class, () -> TokenizerFile.read(deep)).getMessage();
    assertTrue(message.contains("(64)") && !message.contains("StreamRead"), message);
  }

  /** As many tokens as Gemma 3 has: no part of the heap may be the size of a tree of them. */
  @Test
  void aLargeVocabularyIsReadWithoutATreeOfIt() throws IOException {
    StringBuilder vocab = new StringBuilder("\"a\": 0, \"b\": 1");
    StringBuilder merges = new StringBuilder();
    String[] texts = new String[262_144];
    texts[0] = "a";
    texts[1] = "b";
    for (int i = 2; i < texts.length; i++) {
      texts[i] = Integer.toBinaryString(i).replace('0', 'a').replace('1', 'b');
      vocab.append(", \"").append(texts[i]).append("\": ").append(i);
      String half = Integer.toBinaryString(i >> 1).replace('0', 'a').replace('1', 'b');
      merges.append(i == 2 ? "" : ",").append("[\"").append(half).append("\", \"");
      merges.append((i & 1) == 0 ? "a" : "b").append("\"]");
    }
    Path path =
        write(
            "{\"version\": \"1.0\", \"added_tokens\": [], \"model\": {\"type\": \"BPE\", \"vocab\": {"
                + vocab
                + "}, \"merges\": ["
                + merges
                + "]}}");
    long size = Files.size(path);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long before = threads.getThreadAllocatedBytes(Thread.currentThread().getId());
    TokenizerFile file = TokenizerFile.read(path);
    long used = threads.getThreadAllocatedBytes(Thread.currentThread().getId()) - before;
    assertEquals(texts.length, file.ids().size());
    assertEquals(texts.length - 1, file.ids().get(texts[texts.length - 1]));
    // the bytes themselves; per token its text, two entries and a number; what merges are joined of
    assertTrue(used < size + texts.length * 500L, used + " bytes for a file of " + size);
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      assertArrayEquals(new int[] {file.ids().get("baab")}, tokenizer.encode("baab").ids());
    }
  }
}
