package ai.nibble.golden;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.model.CausalLm;
import ai.nibble.nn.Pass;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;

/** Reads golden values and computes what is compared with them. */
final class Golden {
  private Golden() {}

  static List<Path> folders(Path parent) {
    try (Stream<Path> entries = Files.list(parent)) {
      return entries.filter(Files::isDirectory).sorted().toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  static int[] ints(SafetensorsFile file, String name) {
    long n = file.tensor(name).elements();
    ByteBuffer bytes = file.bytes(name, 0, (int) n * Long.BYTES).order(ByteOrder.LITTLE_ENDIAN);
    int[] values = new int[(int) n];
    for (int i = 0; i < n; i++) {
      values[i] = Math.toIntExact(bytes.getLong(i * Long.BYTES));
    }
    return values;
  }

  static float[] floats(SafetensorsFile file, String name) {
    float[] values = new float[(int) file.tensor(name).elements()];
    file.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  /** Logits of every position of a sequence, row-major. */
  static float[] logits(CausalLm model, int[] ids) {
    int[] positions = new int[ids.length];
    Arrays.setAll(positions, i -> i);
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), positions)) {
      return logits.toFloats();
    }
  }

  static float[] lastLogits(CausalLm model, int[] ids) {
    int[] last = {ids.length - 1};
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), last)) {
      return logits.toFloats();
    }
  }

  static int[] greedy(CausalLm model, int[] prompt, int newTokens) {
    int[] ids = prompt;
    for (int i = 0; i < newTokens; i++) {
      int best = argmax(lastLogits(model, ids));
      ids = Arrays.copyOf(ids, ids.length + 1);
      ids[ids.length - 1] = best;
    }
    return ids;
  }

  /** As {@link #greedy}, with a cache instead of the whole sequence each time. */
  static int[] generated(CausalLm model, int[] prompt, int newTokens) {
    try (Generator generator = new Generator(model)) {
      int[] tokens =
          generator
              .complete(List.of(prompt), GenerationSettings.greedy(newTokens, Set.of()))
              .get(0)
              .tokens();
      int[] ids = Arrays.copyOf(prompt, prompt.length + tokens.length);
      System.arraycopy(tokens, 0, ids, prompt.length, tokens.length);
      return ids;
    }
  }

  static int argmax(float[] values) {
    int best = 0;
    for (int i = 1; i < values.length; i++) {
      best = values[i] > values[best] ? i : best;
    }
    return best;
  }

  /** Largest difference of a batch's logits at unmasked positions from those expected. */
  static double maxLogitError(CausalLm model, SafetensorsFile golden, float[] expected) {
    int[] ids = ints(golden, "input_ids");
    int[] mask = ints(golden, "attention_mask");
    int rows = (int) golden.tensor("input_ids").dimensions()[0];
    int width = ids.length / rows;
    int vocabulary = expected.length / ids.length;
    double worst = 0;
    for (int r = 0; r < rows; r++) {
      int length = Arrays.stream(mask, r * width, (r + 1) * width).sum();
      float[] actual = logits(model, Arrays.copyOfRange(ids, r * width, r * width + length));
      for (int i = 0; i < actual.length; i++) {
        float e = expected[r * width * vocabulary + i];
        worst = Math.max(worst, Double.isFinite(actual[i]) ? Math.abs(e - actual[i]) : 1e9);
      }
    }
    return worst;
  }

  /** A right-padded batch of the file without its padding. */
  static Batch batch(SafetensorsFile file, String prefix) {
    int[] ids = ints(file, prefix + "_input_ids");
    int[] mask = ints(file, prefix + "_attention_mask");
    int[] labels = ints(file, prefix + "_labels");
    int rows = (int) file.tensor(prefix + "_input_ids").dimensions()[0];
    int width = ids.length / rows;
    List<Example> examples = new ArrayList<>();
    for (int r = 0; r < rows; r++) {
      int begin = r * width;
      int end = begin + Arrays.stream(mask, begin, begin + width).sum();
      examples.add(
          new Example(Arrays.copyOfRange(ids, begin, end), Arrays.copyOfRange(labels, begin, end)));
    }
    return Batch.of(examples);
  }
}
