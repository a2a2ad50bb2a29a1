package ai.nibble.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.format.RowFormat;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class RowEncodingTest {
  @TempDir private Path directory;
  private Tokenizer tokenizer;
  private ExampleEncoder encoder;

  @BeforeEach
  void open() {
    SmallTokenizer.write(directory, false);
    tokenizer = Tokenizer.load(directory);
    encoder = new ExampleEncoder(tokenizer, null, EncodingSettings.withLength(64));
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  private static Row row(int i, Object text) {
    return new Row(Map.of("text", text), "f.jsonl:" + i, i, Map.of());
  }

  private static List<Row> rows(int count) {
    return IntStream.range(0, count).mapToObj(i -> row(i, "row " + i + " of " + count)).toList();
  }

  private EncodingSummary encode(int threads, Iterator<Row> rows, List<Example> to) {
    return new RowEncoding(RowFormat.named("text"), encoder, threads).encode("f", rows, to::add);
  }

  @Test
  void anyNumberOfThreadsGivesTheSame() {
    List<Example> one = new ArrayList<>();
    EncodingSummary summary = encode(1, rows(1000).iterator(), one);
    assertEquals(1000, summary.rows());
    int highest = one.stream().flatMapToInt(e -> IntStream.of(e.inputIds())).max().orElseThrow();
    assertEquals(highest, summary.highestId());
    for (int threads : new int[] {2, 5}) {
      List<Example> many = new ArrayList<>();
      assertEquals(summary, encode(threads, rows(1000).iterator(), many));
      assertEquals(one.size(), many.size());
      for (int i = 0; i < one.size(); i++) {
        assertArrayEquals(one.get(i).inputIds(), many.get(i).inputIds());
      }
    }
  }

  @Test
  void problemsComeInTheOrderOfTheRowsWhateverTheThreads() {
    List<Row> rows = new ArrayList<>(rows(300));
    for (int bad : new int[] {7, 100, 101, 299}) {
      rows.set(bad, row(bad, bad == 100 ? "long ".repeat(100) : bad));
    }
    Set<List<String>> seen = new HashSet<>();
    for (int threads : new int[] {1, 2, 5}) {
      InvalidInputException e =
          assertThrows(
              InvalidInputException.class,
              () -> encode(threads, rows.iterator(), new ArrayList<>()));
      assertEquals(4, e.problems().size(), e.getMessage());
      assertEquals("f.jsonl:7: column 'text' is 7, expected a string", e.problems().get(0));
      assertTrue(e.problems().get(1).startsWith("f.jsonl:100: the row has "), e.getMessage());
      seen.add(e.problems());
    }
    assertEquals(1, seen.size());
  }

  @Test
  void whatNobodyExpectedNamesTheRow() {
    RowFormat broken =
        new RowFormat() {
          @Override
          public String name() {
            return "broken";
          }

          @Override
          public Sample read(Row row) {
            if (row.number() == 77) {
              throw new ArithmeticException("oh");
            }
            return RowFormat.named("text").read(row);
          }
        };
    for (int threads : new int[] {1, 3}) {
      IllegalStateException e =
          assertThrows(
              IllegalStateException.class,
              () ->
                  new RowEncoding(broken, encoder, threads)
                      .encode("f", rows(500).iterator(), example -> {}));
      assertTrue(e.getMessage().startsWith("f.jsonl:77: cannot be encoded: "), e.getMessage());
    }
  }

  /** What is read ahead is bounded by text, so that rows of any size pass. */
  @Test
  void littleIsReadAhead() {
    Set<Integer> waiting = ConcurrentHashMap.newKeySet();
    int[] most = {0};
    String text = "word ".repeat(60_000); // 300,000 characters
    RowFormat first =
        new RowFormat() {
          @Override
          public String name() {
            return "first word";
          }

          @Override
          public Sample read(Row row) {
            return new Sample.Text("", row.text("text").substring(0, 4));
          }
        };
    Iterator<Row> rows =
        IntStream.range(0, 200)
            .mapToObj(
                i -> {
                  waiting.add(i);
                  most[0] = Math.max(most[0], waiting.size());
                  return row(i, text);
                })
            .iterator();
    int[] done = {0};
    new RowEncoding(first, encoder, 2).encode("f", rows, example -> waiting.remove(done[0]++));
    assertEquals(200, done[0]);
    assertTrue(most[0] <= 2 * 2 + 2, "rows at once: " + most[0]);
  }

  @Test
  void aKeyIsOfAllThatDecidesAndOfNothingElse() throws IOException {
    Path file = Files.writeString(directory.resolve("a.txt"), "one\ntwo\n");
    Path copy = Files.copy(file, directory.resolve("b.txt"));
    byte[] key = EncodingKey.of(encoder, "text", List.of(file));
    assertArrayEquals(key, EncodingKey.of(encoder, "text", List.of(copy)));
    Set<String> keys = new HashSet<>();
    keys.add(new String(key, StandardCharsets.ISO_8859_1));
    Path json = Files.copy(file, directory.resolve("a.jsonl"));
    Path other = Files.writeString(directory.resolve("c.txt"), "one\ntwO\n");
    ExampleEncoder longer = new ExampleEncoder(tokenizer, null, EncodingSettings.withLength(65));
    ChatTemplate template =
        ChatTemplate.of("{{ x }}", "t", new SpecialTokens(Map.of(), Optional.empty()), Map.of());
    ExampleEncoder templated =
        new ExampleEncoder(tokenizer, template, EncodingSettings.withLength(64));
    for (byte[] different :
        List.of(
            EncodingKey.of(encoder, "text 2", List.of(file)),
            EncodingKey.of(encoder, "text", List.of(json)),
            EncodingKey.of(encoder, "text", List.of(other)),
            EncodingKey.of(encoder, "text", List.of(file, file)),
            EncodingKey.of(longer, "text", List.of(file)),
            EncodingKey.of(templated, "text", List.of(file)))) {
      assertTrue(keys.add(new String(different, StandardCharsets.ISO_8859_1)));
    }
    Path gone = Files.createSymbolicLink(directory.resolve("l.txt"), directory.resolve("gone"));
    assertThrows(InvalidInputException.class, () -> EncodingKey.of(encoder, "text", List.of(gone)));
    assertFalse(keys.isEmpty());
  }
}
