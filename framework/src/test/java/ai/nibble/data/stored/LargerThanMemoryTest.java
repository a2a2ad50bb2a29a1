package ai.nibble.data.stored;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.Batch;
import ai.nibble.data.EncodingSettings;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.RowEncoding;
import ai.nibble.data.RowFile;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.format.RowFormat;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Rows that are larger than the heap are encoded, shuffled and gone through. */
class LargerThanMemoryTest {
  private static final int ROWS = 15_000;
  private static final int TOKENS_OF_A_ROW = 401; // a byte each, and the end
  private static final int HEAP_MIB = 20;

  @TempDir private Path directory;

  @Test
  void whatDoesNotFitTheHeapIsTrainedOnAllTheSame() throws IOException, InterruptedException {
    SmallTokenizer.write(directory, false);
    try (BufferedWriter rows = Files.newBufferedWriter(directory.resolve("rows.jsonl"))) {
      for (int i = 0; i < ROWS; i++) {
        String text = String.format("%08d ", i) + "x".repeat(TOKENS_OF_A_ROW - 10);
        rows.write("{\"text\": \"" + text + "\"}\n");
      }
    }
    Process child =
        new ProcessBuilder(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx" + HEAP_MIB + "m",
                "-XX:+UseSerialGC",
                "-cp",
                System.getProperty("java.class.path"),
                LargerThanMemoryTest.class.getName(),
                directory.toString())
            .redirectErrorStream(true)
            .start();
    String printed = new String(child.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, child.waitFor(), printed);
    assertTrue(printed.contains("all " + ROWS + " rows in an order of their own"), printed);
  }

  /** The child: encodes the rows and goes through two epochs. */
  public static void main(String[] args) {
    Path directory = Path.of(args[0]);
    try (Tokenizer tokenizer = Tokenizer.load(directory);
        RowFile rows = new RowFile(directory.resolve("rows.jsonl"), Map.of());
        ExampleFile examples = encoded(tokenizer, rows)) {
      long inMemory = examples.summary().tokens() * 2 * Integer.BYTES;
      if (inMemory < 2 * Runtime.getRuntime().maxMemory()) {
        throw new IllegalStateException("the rows would fit: " + inMemory + " bytes");
      }
      EpochSampler sampler = new EpochSampler(examples, 4, 42);
      for (int epoch = 0; epoch < 2; epoch++) {
        boolean[] seen = new boolean[ROWS];
        int inOrder = 0;
        for (int drawn = 0; drawn < ROWS; drawn += 4) {
          Batch batch = sampler.next();
          for (int s = 0; s < batch.sequences(); s++) {
            int row = number(batch, batch.sequenceStarts()[s]);
            inOrder += row == drawn + s ? 1 : 0;
            if (seen[row]) {
              throw new IllegalStateException("row " + row + " came twice");
            }
            seen[row] = true;
          }
        }
        if (inOrder > 20) { // one is expected to be in its place, as of any shuffle
          throw new IllegalStateException(inOrder + " rows in the order of the file");
        }
        System.out.println("all " + ROWS + " rows in an order of their own");
      }
    }
  }

  private static ExampleFile encoded(Tokenizer tokenizer, RowFile rows) {
    ExampleEncoder encoder =
        new ExampleEncoder(tokenizer, null, EncodingSettings.withLength(TOKENS_OF_A_ROW));
    RowEncoding encoding = new RowEncoding(RowFormat.named("text"), encoder, 2);
    return new ExampleStore(Optional.empty(), line -> {})
        .get(new byte[32], to -> encoding.encode("rows", rows, to));
  }

  /** The number that a row's text begins with: its digits are its tokens. */
  private static int number(Batch batch, int from) {
    int number = 0;
    for (int i = 0; i < 8; i++) {
      number = number * 10 + batch.inputIds()[from + i] - '0';
    }
    return number;
  }
}
