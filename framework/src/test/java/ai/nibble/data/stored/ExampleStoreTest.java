package ai.nibble.data.stored;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import ai.nibble.data.Examples;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExampleStoreTest {
  private static final byte[] KEY = key(1);

  @TempDir private Path directory;
  private final List<String> log = new ArrayList<>();
  private int encoded;

  private static byte[] key(int fill) {
    byte[] key = new byte[32];
    Arrays.fill(key, (byte) fill);
    return key;
  }

  private static Example example(Random random, int tokens) {
    int[] ids = random.ints(tokens, 0, 1 << 20).toArray();
    int[] labels = ids.clone();
    for (int i = 0; i < tokens; i++) {
      labels[i] = random.nextBoolean() ? ids[i] : Example.IGNORED;
    }
    return new Example(ids, labels);
  }

  /** Lengths around bytes of the mask, and one beyond the writer's buffer. */
  private static List<Example> examples() {
    Random random = new Random(7);
    List<Example> examples = new ArrayList<>();
    for (int tokens : new int[] {1, 7, 8, 9, 15, 16, 17, 1000, 100_000, 3}) {
      examples.add(example(random, tokens));
    }
    examples.add(Example.pair(examples.get(9), examples.get(3)));
    examples.add(Example.judged(examples.get(9), true));
    examples.add(Example.judged(examples.get(8), false));
    return examples;
  }

  private EncodingSummary encode(Consumer<Example> to) {
    encoded++;
    examples().forEach(to);
    return new EncodingSummary(11, examples().size(), 1L << 40, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
  }

  private static void assertSame(List<Example> expected, List<Example> found) {
    assertEquals(expected.size(), found.size());
    for (int i = expected.size() - 1; i >= 0; i--) {
      assertEquals(expected.get(i).length(), Examples.length(found, i));
      assertArrayEquals(expected.get(i).inputIds(), found.get(i).inputIds());
      assertArrayEquals(expected.get(i).labels(), found.get(i).labels());
      assertEquals(expected.get(i).kind(), found.get(i).kind());
      assertEquals(expected.get(i).second(), found.get(i).second());
    }
  }

  private ExampleStore store() {
    return new ExampleStore(Optional.of(directory.resolve("rows")), log::add);
  }

  private Path kept() throws IOException {
    try (Stream<Path> files = Files.list(directory.resolve("rows"))) {
      List<Path> all = files.toList();
      assertEquals(1, all.size(), all::toString);
      return all.get(0);
    }
  }

  @Test
  void whatWasEncodedIsReadTheNextTime() throws IOException {
    try (ExampleFile first = store().get(KEY, this::encode)) {
      assertSame(examples(), first);
      assertThrows(IndexOutOfBoundsException.class, () -> first.get(13));
    }
    try (ExampleFile second = store().get(KEY, this::encode)) {
      assertSame(examples(), second);
      assertEquals(1L << 40, second.summary().tokens());
      assertEquals(11, second.summary().controlsAsText());
      assertEquals(12, second.summary().alike());
    }
    assertEquals(1, encoded);
    Path file = kept();
    assertEquals(List.of("encoded rows kept in " + file, "encoded before, read from " + file), log);
    store().get(key(2), this::encode).close();
    assertEquals(2, encoded);
  }

  @Test
  void aFileHasTheBytesThatItsDescriptionSays() throws IOException {
    ExampleStore store = store();
    store
        .get(
            KEY,
            to -> {
              to.accept(new Example(new int[] {5, 6, 7}, new int[] {-100, 6, 7}));
              return new EncodingSummary(1, 1, 3, 2, 3, 7, 0, 0, 0, 0, 0, 0, 0);
            })
        .close();
    byte[] bytes = Files.readAllBytes(kept());
    assertEquals(8 + 4 + 13 + 4 + 104 + 32 + 4 + 8, bytes.length);
    assertArrayEquals(
        new byte[] {0, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0, 0b110, 3, 0, 0, 0},
        Arrays.copyOfRange(bytes, 8, 29));
  }

  @Test
  void everyDamageIsFoundAndMended() throws IOException {
    store().get(KEY, this::encode).close();
    Path file = kept();
    byte[] whole = Files.readAllBytes(file);
    Random random = new Random(3);
    for (int i = 0; i < 60; i++) {
      byte[] damaged =
          switch (i % 3) {
            case 0 -> Arrays.copyOf(whole, random.nextInt(whole.length));
            case 1 -> Arrays.copyOf(whole, whole.length + 1);
            default -> {
              byte[] flipped = whole.clone();
              flipped[random.nextInt(whole.length)] ^= (byte) (1 << random.nextInt(8));
              yield flipped;
            }
          };
      Files.write(file, damaged);
      log.clear();
      try (ExampleFile mended = store().get(KEY, this::encode)) {
        assertSame(examples(), mended);
      }
      assertTrue(log.get(0).startsWith(file + " is damaged and not used ("), log::toString);
      assertArrayEquals(whole, Files.readAllBytes(file));
    }
    assertEquals(61, encoded);
  }

  @Test
  void nothingIsLeftOfWhatFails() throws IOException {
    assertThrows(
        IllegalStateException.class,
        () ->
            store()
                .get(
                    KEY,
                    to -> {
                      examples().forEach(to);
                      throw new IllegalStateException("a row is bad");
                    }));
    try (Stream<Path> files = Files.list(directory.resolve("rows"))) {
      assertEquals(0, files.count());
    }
  }

  @Test
  void withoutADirectoryNothingIsKept() {
    for (int i = 1; i <= 2; i++) {
      try (ExampleFile file = new ExampleStore(Optional.empty(), log::add).get(KEY, this::encode)) {
        assertSame(examples(), file);
      }
      assertEquals(i, encoded);
    }
    assertEquals(List.of(), log);
  }

  @Test
  void aDirectoryThatCannotBeWrittenIsSaidAndNotNeeded() throws IOException {
    Files.writeString(directory.resolve("rows"), "a file");
    try (ExampleFile file = store().get(KEY, this::encode)) {
      assertSame(examples(), file);
    }
    assertEquals(1, log.size());
    assertTrue(log.get(0).contains("cannot be written, so encoded rows are not kept"), log.get(0));
  }

  @Test
  void aFileThatIsCutWhileInUseIsNamed() throws IOException {
    try (ExampleFile file = store().get(KEY, this::encode)) {
      Files.write(kept(), new byte[0]);
      UncheckedIOException e = assertThrows(UncheckedIOException.class, () -> file.get(3));
      assertTrue(e.getMessage().contains("cut short"), e.getMessage());
    }
  }
}
