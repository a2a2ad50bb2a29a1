package ai.nibble.bench;

import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Locale;
import java.util.stream.IntStream;

/**
 * Logits of every position of some sequences, to compare with other programs' ({@code
 * bench/logits}): float32, little-endian, {@code [positions, vocabulary]}, sequence after sequence.
 *
 * <p>Arguments: base, {@code float32} or {@code bfloat16} to compute in, a file with the token ids
 * of one sequence a line, the file to write.
 */
public final class Logits {
  private Logits() {}

  /** Writes the file. */
  public static void main(String[] args) throws IOException {
    DType compute = DType.valueOf(args[1].toUpperCase(Locale.ROOT));
    try (CausalLm model = CausalLm.load(Path.of(args[0]), LoadOptions.unquantized(compute));
        OutputStream out = Files.newOutputStream(Path.of(args[3]))) {
      for (String line : Files.readAllLines(Path.of(args[2]))) {
        int[] ids = Arrays.stream(line.strip().split(" ")).mapToInt(Integer::parseInt).toArray();
        int[] positions = IntStream.range(0, ids.length).toArray();
        try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), positions)) {
          float[] values = logits.toFloats();
          ByteBuffer bytes = ByteBuffer.allocate(Float.BYTES * values.length);
          bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().put(values);
          out.write(bytes.array());
        }
      }
    }
  }
}
