package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.nn.vector.Norm512;
import ai.nibble.nn.vector.Pairs512;
import ai.nibble.nn.vector.Softmax512;
import ai.nibble.nn.vector.Sum512;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Loops over bfloat16 in 512-bit registers against the same in plain Java. */
class PairRowsTest {
  private final Random random = new Random(5);

  @BeforeEach
  void needsRegisters() {
    assumeTrue(
        PairRows.isAvailable(),
        "skipped: needs 512-bit registers and --add-modules jdk.incubator.vector");
  }

  /** Values of all sizes, a NaN and infinities among them. */
  private ByteBuffer rows(int elements, boolean finite) {
    ByteBuffer rows =
        ByteBuffer.allocateDirect(Short.BYTES * elements).order(ByteOrder.LITTLE_ENDIAN);
    for (int i = 0; i < elements; i++) {
      double size = Math.exp(finite ? random.nextGaussian() : 20 * random.nextGaussian());
      float value = (float) (size * random.nextGaussian());
      if (!finite && i % 37 == 5) {
        value = i % 2 == 0 ? Float.NaN : i % 3 == 0 ? 1f / 0 : -1f / 0;
      }
      rows.putShort(Short.BYTES * i, Bfloat16.of(value));
    }
    return rows;
  }

  private static float at(ByteBuffer rows, int element) {
    return Bfloat16.toFloat(rows.getShort(Short.BYTES * element));
  }

  @ParameterizedTest
  @CsvSource({"true, true", "true, false", "false, true", "false, false"})
  void sumsAreThoseOfPlainJavaToTheBit(boolean second, boolean third) {
    int n = 7;
    int width = 96;
    int wider = 113;
    ByteBuffer a = rows(n * wider, false);
    ByteBuffer b = second ? rows(n * width, false) : null;
    ByteBuffer c = third ? rows(n * width, false) : null;
    ByteBuffer to = rows(n * width, true);
    Sum512.add(a, Short.BYTES * wider, b, c, to, n, width);
    for (int i = 0; i < n * width; i++) {
      float sum = at(a, i / width * wider + i % width);
      sum += second ? at(b, i) : 0;
      sum += third ? at(c, i) : 0;
      float seen = at(to, i);
      if (Float.isNaN(sum)) {
        assertTrue(Float.isNaN(seen), "element " + i + ": " + seen);
      } else {
        assertEquals(Bfloat16.round(sum), seen, "element " + i);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"64, 1", "64, -1", "128, 1", "192, -1"})
  void rotatedHeadsAreThoseOfPlainJavaToTheBit(int headDim, int direction) {
    int heads = 3;
    int position = 41;
    float[] frequencies = new float[headDim / 2];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) Math.pow(10000, -2.0 * i / headDim);
    }
    try (RotaryTable table = new RotaryTable(frequencies, 1)) {
      assertTrue(table.inRegisters());
      table.cover(position + 1);
      int before = 5;
      int after = 11;
      ByteBuffer from = rows(before + heads * headDim, true);
      ByteBuffer to = rows(after + heads * headDim, true);
      table.rotate(
          from, Short.BYTES * before, to, Short.BYTES * after, heads, position, false, direction);
      for (int h = 0; h < heads; h++) {
        float[] head = new float[headDim];
        for (int i = 0; i < headDim; i++) {
          head[i] = at(from, before + h * headDim + i);
        }
        table.rotate(head, 0, position, false, direction);
        for (int i = 0; i < headDim; i++) {
          assertEquals(Bfloat16.round(head[i]), at(to, after + h * headDim + i), h + ", " + i);
        }
      }
    }
  }

  @Test
  void headsThatAreNoWholeRegistersAreRotatedOtherwise() {
    try (RotaryTable table = new RotaryTable(new float[48], 1)) {
      assertFalse(table.inRegisters());
    }
  }

  @Test
  void splittingPutsTheEvenOnesOfEachUnitFirst() {
    float[] values = new float[2 * Pairs512.UNIT];
    for (int i = 0; i < values.length; i++) {
      values[i] = i;
    }
    float[] split = Pairs512.split(values);
    assertEquals(0, split[0]);
    assertEquals(2, split[1]);
    assertEquals(1, split[16]);
    assertEquals(31, split[31]);
    assertEquals(34, split[33]);
  }

  /** Exponentials of one unit in the last place, sums of float32: 1e-6; a rounding of 2⁻⁸. */
  @ParameterizedTest
  @ValueSource(ints = {32, 96, 4096})
  void softmaxIsThatOfDoublesRounded(int width) {
    ByteBuffer scores = rows(width, true);
    double[] expected = new double[width];
    double sum = 0;
    for (int i = 0; i < width; i++) {
      if (i % 5 == 3) {
        scores.putShort(Short.BYTES * i, Bfloat16.of(Float.NEGATIVE_INFINITY));
      }
      expected[i] = Math.exp(at(scores, i));
      sum += expected[i];
    }
    Softmax512.softmax(scores, 0, width, new float[width]);
    for (int i = 0; i < width; i++) {
      double p = expected[i] / sum;
      if (expected[i] == 0) {
        assertEquals(0, at(scores, i), "what is masked");
      }
      assertEquals(p, at(scores, i), p * (1.0 / 256 + 1e-6) + Float.MIN_NORMAL, "element " + i);
    }
  }

  @ParameterizedTest
  @CsvSource({"32, 0, 0.25", "32, 31, -3", "96, 50, 1", "4096, 4000, 0.001"})
  void crossEntropyAndItsGradientAreThoseOfDoubles(int width, int target, float scale) {
    ByteBuffer logits = rows(2 * width, true);
    double sum = 0;
    for (int i = 0; i < width; i++) {
      sum += Math.exp(at(logits, width + i));
    }
    double loss = Math.log(sum) - at(logits, width + target);
    double[] expected = new double[width];
    for (int i = 0; i < width; i++) {
      expected[i] = scale * (Math.exp(at(logits, width + i)) / sum - (i == target ? 1 : 0));
    }
    short first = logits.getShort(0);
    byte[] row = new byte[Short.BYTES * width];
    logits.get(row.length, row);
    float[] powers = new float[width];
    float seen = Softmax512.crossEntropy(logits, row.length, width, target, scale, false, powers);
    assertEquals(loss, seen, 1e-5);
    byte[] left = new byte[row.length];
    logits.get(row.length, left);
    assertArrayEquals(row, left, "nothing is written where no gradient is wanted");
    Softmax512.crossEntropy(logits, row.length, width, target, scale, true, powers);
    for (int i = 0; i < width; i++) {
      double error = Math.abs(expected[i]) / 256 + 1e-6 * Math.abs(scale);
      assertEquals(expected[i], at(logits, width + i), error, "element " + i);
    }
    assertEquals(first, logits.getShort(0), "the row before");
  }

  /** The result of a float32 sum of squares within 1e-6, then a rounding of 2⁻⁸ or two. */
  @ParameterizedTest
  @CsvSource({"32, true", "96, false", "576, true"})
  void normsAreThoseOfDoubles(int width, boolean rounds) {
    int n = 3;
    ByteBuffer x = rows(n * width, true);
    ByteBuffer y = rows(n * width, true);
    float[] scale = scale(width);
    Norm512.normalize(x, y, n, width, Pairs512.split(scale), 1e-5f, rounds);
    for (int r = 0; r < n; r++) {
      double inverse = inverse(x, r, width);
      for (int c = 0; c < width; c++) {
        double expected = at(x, r * width + c) * inverse * scale[c];
        double error = Math.abs(expected) * ((rounds ? 2.0 : 1.0) / 256 + 1e-4);
        assertEquals(expected, at(y, r * width + c), error, r + ", " + c);
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"32, true", "96, false", "576, true"})
  void gradientsOfNormsAreThoseOfDoubles(int width, boolean prior) {
    int n = 3;
    ByteBuffer x = rows(n * width, true);
    ByteBuffer dy = rows(n * width, true);
    ByteBuffer before = prior ? rows(n * width, true) : null;
    ByteBuffer dx = rows(n * width, true);
    float[] scale = scale(width);
    Norm512.gradient(dy, x, before, dx, n, width, Pairs512.split(scale), 1e-5f);
    for (int r = 0; r < n; r++) {
      double inverse = inverse(x, r, width);
      double dot = 0;
      for (int c = 0; c < width; c++) {
        dot += scale[c] * (double) at(dy, r * width + c) * at(x, r * width + c);
      }
      for (int c = 0; c < width; c++) {
        int i = r * width + c;
        double own = inverse * scale[c] * at(dy, i);
        double shared = at(x, i) * Math.pow(inverse, 3) * dot / width;
        double expected = own - shared + (prior ? at(before, i) : 0);
        double size = Math.abs(own) + Math.abs(shared) + (prior ? Math.abs(at(before, i)) : 0);
        double error = Math.abs(expected) / 256 + 1e-5 * size;
        assertEquals(expected, at(dx, i), error, r + ", " + c);
      }
    }
  }

  private float[] scale(int width) {
    float[] scale = new float[width];
    for (int c = 0; c < width; c++) {
      scale[c] = (float) (1 + 0.3 * random.nextGaussian());
    }
    return scale;
  }

  private static double inverse(ByteBuffer x, int row, int width) {
    double squares = 0;
    for (int c = 0; c < width; c++) {
      squares += Math.pow(at(x, row * width + c), 2);
    }
    return 1 / Math.sqrt(squares / width + 1e-5f);
  }

  /** HotSpot interprets the first calls and compiles the loop some thousand later. */
  @Test
  void compilingChangesNoBit() {
    ByteBuffer logits = rows(1024, true);
    byte[] first = new byte[logits.capacity()];
    byte[] last = new byte[first.length];
    float[] powers = new float[1024];
    byte[] before = new byte[first.length];
    logits.get(0, before);
    float cold = Softmax512.crossEntropy(logits, 0, 1024, 7, 0.5f, true, powers);
    logits.get(0, first);
    float[] coldPowers = powers.clone();
    float warm = 0;
    for (int i = 0; i < 20_000; i++) {
      logits.put(0, before);
      warm = Softmax512.crossEntropy(logits, 0, 1024, 7, 0.5f, true, powers);
    }
    logits.get(0, last);
    assertEquals(cold, warm);
    assertArrayEquals(coldPowers, powers);
    assertArrayEquals(first, last);
  }

  @Test
  void compilingChangesNoBitOfNorms() {
    int width = 96;
    ByteBuffer x = rows(width, true);
    ByteBuffer dy = rows(width, true);
    ByteBuffer y = rows(width, true);
    ByteBuffer dx = rows(width, true);
    float[] scale = Pairs512.split(scale(width));
    byte[][] cold = new byte[2][2 * width];
    byte[][] warm = new byte[2][2 * width];
    for (int i = 0; i < 20_000; i++) {
      Norm512.normalize(x, y, 1, width, scale, 1e-5f, false);
      Norm512.gradient(dy, x, null, dx, 1, width, scale, 1e-5f);
      if (i == 0) {
        y.get(0, cold[0]);
        dx.get(0, cold[1]);
      }
    }
    y.get(0, warm[0]);
    dx.get(0, warm[1]);
    assertArrayEquals(cold[0], warm[0]);
    assertArrayEquals(cold[1], warm[1]);
  }

  /** Its row, and no other. */
  @Test
  void aValueThatIsNoNumberMakesItsNormNone() {
    int width = 32;
    ByteBuffer x = rows(2 * width, true);
    x.putShort(Short.BYTES * 5, Bfloat16.of(Float.NaN));
    ByteBuffer dy = rows(2 * width, true);
    ByteBuffer y = rows(2 * width, true);
    ByteBuffer dx = rows(2 * width, true);
    float[] scale = Pairs512.split(scale(width));
    Norm512.normalize(x, y, 2, width, scale, 1e-5f, true);
    Norm512.gradient(dy, x, null, dx, 2, width, scale, 1e-5f);
    for (int i = 0; i < 2 * width; i++) {
      assertEquals(i < width, Float.isNaN(at(y, i)), "value " + i);
      assertEquals(i < width, Float.isNaN(at(dx, i)), "gradient " + i);
    }
  }

  @Test
  void aLogitThatIsNoNumberMakesTheLossNone() {
    ByteBuffer logits = rows(64, true);
    logits.putShort(Short.BYTES * 40, Bfloat16.of(Float.NaN));
    float loss = Softmax512.crossEntropy(logits, 0, 64, 3, 1, true, new float[64]);
    assertTrue(Float.isNaN(loss), "" + loss);
    assertTrue(Float.isNaN(at(logits, 0)));
  }

  @Test
  void otherRowsAreNotServed() {
    try (Tensor wide = Tensor.empty(DType.FLOAT32, 2, 64);
        Tensor half = wide.to(DType.BFLOAT16);
        Tensor apart = half.narrow(1, 0, 32);
        Tensor odd = Tensor.empty(DType.BFLOAT16, 2, 48)) {
      assertTrue(PairRows.serve(64, half, null));
      assertFalse(PairRows.serve(64, wide));
      assertFalse(PairRows.serve(32, apart));
      assertFalse(PairRows.serve(48, odd));
    }
  }
}
