package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.junit.jupiter.api.Test;

class QuantizeOneMatrixTest {
  private static final int ROWS = 128;
  private static final int COLUMNS = 256;

  private static float[] gaussian() {
    Random random = new Random(1);
    float[] matrix = new float[ROWS * COLUMNS];
    for (int i = 0; i < matrix.length; i++) {
      matrix[i] = (float) random.nextGaussian();
    }
    return matrix;
  }

  @Test
  void itSaysTheBytesAndTheErrorOfWhatItReturns() {
    float[] matrix = gaussian();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    long live = Tensor.live();
    float[] back;
    try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
      back = QuantizeOneMatrix.run(matrix, ROWS, COLUMNS, out);
    }
    assertEquals(live, Tensor.live());
    double error = QuantizeOneMatrix.relativeError(matrix, back);
    // half a byte a value, a byte for each 64 of them, a float32 for each 256 of those
    int blocks = ROWS * COLUMNS / 64;
    int expected = ROWS * COLUMNS / 2 + blocks + Float.BYTES * blocks / 256;
    double bits = 8.0 * expected / (ROWS * COLUMNS);
    List<String> lines = bytes.toString(StandardCharsets.UTF_8).lines().toList();
    assertEquals(
        List.of(
            "131,072 bytes as float32",
            String.format(Locale.ROOT, "%,d bytes in NF4, %.3f bits a value", expected, bits),
            String.format(Locale.ROOT, "relative error %.4f (root mean square)", error)),
        lines);
    assertTrue(error > 0.05 && error < 0.12, "relative error " + error);
  }

  /** 0 and the largest of a block are codes of NF4; one level of scales is 8 bits wide. */
  @Test
  void valuesThatAreCodesComeBackToWithinTheScalesRounding() {
    float[] matrix = new float[ROWS * COLUMNS];
    for (int i = 0; i < matrix.length; i++) {
      matrix[i] = i % 3 == 0 ? 0 : i % 3 == 1 ? 0.5f : -0.5f;
    }
    float[] back =
        QuantizeOneMatrix.run(matrix, ROWS, COLUMNS, new PrintStream(new ByteArrayOutputStream()));
    // every block has the same scale, so its mean alone says it
    assertArrayEquals(matrix, back, 1e-6f);
  }
}
