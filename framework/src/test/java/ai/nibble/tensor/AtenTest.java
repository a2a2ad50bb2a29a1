package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** What composed kernels rest on and libtorch leaves open or has in a way of its own. */
class AtenTest {
  private final Aten at = new Aten();
  private long before;

  @BeforeEach
  void count() {
    before = Tensor.live();
  }

  @AfterEach
  void closingLeavesNothing() {
    at.close();
    assertEquals(before, Tensor.live());
  }

  private Tensor floats(float... values) {
    return at.own(Tensor.of(values, values.length));
  }

  private static long[] longs(Tensor t) {
    long[] values = new long[(int) t.numel()];
    t.bytes(0, (int) t.byteSize()).asLongBuffer().get(values);
    return values;
  }

  @Test
  void sequencesAndProductsWrapAsJavasDo() {
    long first = Long.MAX_VALUE - 5;
    long step = 0x9E3779B97F4A7C15L;
    Tensor sequence = at.sequence(floats(0), first, step, 1000);
    Tensor products = at.mul(sequence, at.filled(at.empty(sequence, DType.INT64, 1), step));
    for (int i = 0; i < 1000; i++) {
      assertEquals(first + i * step, longs(sequence)[i]);
      assertEquals((first + i * step) * step, longs(products)[i]);
    }
  }

  @Test
  void shiftingBringsZerosIn() {
    long[] values = new Random(1).longs(100).toArray();
    Tensor x = at.empty(floats(0), DType.INT64, 100);
    x.bytes(0, 800).asLongBuffer().put(values);
    for (int bits : new int[] {0, 1, 27, 48, 63}) {
      long[] shifted = longs(at.shiftRight(x, bits));
      for (int i = 0; i < 100; i++) {
        assertEquals(values[i] >>> bits, shifted[i]);
      }
    }
  }

  @Test
  void numbersHaveTheDtypeOfWhatTheyStandBeside() {
    Tensor x = floats(1, 2);
    Tensor sum = at.add(x, 0.1);
    assertEquals(DType.FLOAT32, sum.dtype());
    assertArrayEquals(new float[] {1.1f, 2.1f}, sum.toFloats());
    assertEquals(DType.FLOAT64, at.mul(at.doubles(x), 0.1).dtype());
    Tensor half = at.as(x, DType.BFLOAT16);
    assertThrows(TensorException.class, () -> at.mul(half, 2));
  }

  /** Of 2²⁴ and ones float32 gives another sum in another order. */
  @Test
  void bagsAreSummedInOrder() {
    Tensor rows = at.view(floats(1, 0x1p24f, 1, 0), 4, 1);
    Tensor members = at.empty(rows, DType.INT64, 6);
    members.bytes(0, 48).asLongBuffer().put(new long[] {1, 0, 2, 0, 2, 1});
    Tensor starts = at.empty(rows, DType.INT64, 4);
    starts.bytes(0, 32).asLongBuffer().put(new long[] {0, 3, 3, 6});
    assertArrayEquals(
        new float[] {0x1p24f, 0, 0x1p24f + 2}, at.bagSums(rows, members, starts).toFloats());
  }

  @Test
  void ofEqualElementsTheFirstComesFirst() {
    float[] values = new float[500];
    for (int i = 0; i < values.length; i++) {
      values[i] = i % 3;
    }
    long[] order = longs(at.descendingOrder(floats(values)));
    for (int i = 1; i < order.length; i++) {
      boolean falls = values[(int) order[i]] < values[(int) order[i - 1]];
      assertEquals(!falls, order[i] > order[i - 1]);
    }
  }

  @Test
  void whatLiesOnABoundaryIsBelowItOrAt() {
    Tensor x = floats(0, 1, 1.5f, 2, 3);
    Tensor bounds = floats(1, 2);
    assertArrayEquals(new long[] {0, 0, 1, 1, 2}, longs(at.countBelow(x, bounds, false)));
    assertArrayEquals(new long[] {0, 1, 1, 2, 2}, longs(at.countBelow(x, bounds, true)));
  }

  /** Float64 holds the sum that float32 rounds twice. */
  @Test
  void multiplyAndAddRoundsOnce() {
    float a = 1 + 0x1p-12f;
    float fused = Math.fma(a, a, -1f);
    assertEquals(fused, at.fma(floats(a), floats(a), floats(-1)).item());
    assertNotEquals(a * a - 1, fused);
  }
}
