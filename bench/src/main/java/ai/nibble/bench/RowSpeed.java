package ai.nibble.bench;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.EncodingKey;
import ai.nibble.data.EncodingSettings;
import ai.nibble.data.Example;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.RowEncoding;
import ai.nibble.data.RowFiles;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.format.RowFormat;
import ai.nibble.data.stored.ExampleFile;
import ai.nibble.data.stored.ExampleStore;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Rows a second when rows are encoded, by one thread and by more, and when they are found encoded
 * and all are read once. The first pass, in which Java compiles, is not counted.
 *
 * <p>Arguments: model directory, row type, an empty directory for what is kept, most threads, files
 * of rows.
 */
public final class RowSpeed {
  private static final int PASSES = 3;

  private RowSpeed() {}

  /** Runs and prints a line each. */
  public static void main(String[] args) {
    RowFormat format = RowFormat.named(args[1]);
    Path directory = Path.of(args[2]);
    List<Path> files = Arrays.stream(args).skip(4).map(Path::of).toList();
    try (Tokenizer tokenizer = Tokenizer.load(Path.of(args[0]))) {
      ChatTemplate template = ChatTemplate.load(Path.of(args[0]), Map.of());
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, template, EncodingSettings.withLength(1 << 16));
      ExampleStore nothingKept = new ExampleStore(Optional.empty(), line -> {});
      encode(nothingKept, encoder, format, files, 1);
      for (int threads = 1; threads <= Integer.parseInt(args[3]); threads++) {
        double[] rates = new double[PASSES];
        for (int pass = 0; pass < PASSES; pass++) {
          rates[pass] = encode(nothingKept, encoder, format, files, threads);
        }
        print(threads + (threads == 1 ? " thread" : " threads"), rates);
      }
      ExampleStore kept = new ExampleStore(Optional.of(directory), line -> {});
      encode(kept, encoder, format, files, 1);
      double[] rates = new double[PASSES];
      for (int pass = 0; pass < PASSES; pass++) {
        rates[pass] = encode(kept, encoder, format, files, 1);
      }
      print("encoded before", rates);
    }
  }

  /** Rows a second, with the files' sum and a look at every example. */
  private static double encode(
      ExampleStore store, ExampleEncoder encoder, RowFormat format, List<Path> files, int threads) {
    long start = System.nanoTime();
    byte[] key = EncodingKey.of(encoder, format.name(), files);
    RowEncoding encoding = new RowEncoding(format, encoder, threads);
    try (RowFiles rows = new RowFiles(files, Map.of());
        ExampleFile examples = store.get(key, to -> encoding.encode("rows", rows, to))) {
      long tokens = 0;
      for (Example example : examples) {
        tokens += example.length();
      }
      if (tokens != examples.summary().tokens()) {
        throw new IllegalStateException(tokens + " tokens were read");
      }
      return examples.summary().rows() / ((System.nanoTime() - start) / 1e9);
    }
  }

  private static void print(String what, double[] rates) {
    Arrays.sort(rates);
    System.out.printf(
        Locale.ROOT, "%s: %,.0f rows/s (%,.0f to %,.0f)%n", what, rates[1], rates[0], rates[2]);
  }
}
