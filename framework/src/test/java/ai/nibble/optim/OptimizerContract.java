package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ForkJoinPool;
import org.junit.jupiter.api.Test;

/** What every optimizer must do; the test of each inherits it. */
abstract class OptimizerContract {
  /** A fresh optimizer over so many values. */
  abstract HostOptimizer create(int elements);

  /** A buffer of so many values as one matrix of two columns, or a vector where they are odd. */
  static List<ParameterSlot> slots(int elements) {
    long[] shape = elements % 2 == 0 ? new long[] {elements / 2, 2} : new long[] {elements};
    ParameterRange range = new ParameterRange(0, elements, 1, 0.01);
    return List.of(new ParameterSlot("p", 0, shape, range));
  }

  static List<ParameterRange> ranges(int elements) {
    return List.of(new ParameterRange(0, elements, 1, 0.01));
  }

  static FloatBuffer flat(float[] values) {
    FloatBuffer buffer = FlatFloats.allocate(values.length);
    buffer.put(0, values);
    return buffer;
  }

  static float[] array(FloatBuffer buffer) {
    float[] values = new float[buffer.limit()];
    buffer.get(0, values);
    return values;
  }

  static float[] normal(Random random, int n, double scale) {
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) (random.nextGaussian() * scale);
    }
    return values;
  }

  @Test
  void aRestoredOptimizerContinuesWithTheSameBits() {
    int n = 5000;
    Random random = new Random(3);
    FloatBuffer params = flat(normal(random, n, 1));
    HostOptimizer optimizer = create(n);
    FloatBuffer grads = flat(normal(random, n, 1));
    optimizer.step(params, grads, 0.1);
    optimizer.step(params, grads, 0.1);
    FloatBuffer copy = flat(array(params));
    HostOptimizer restored = create(n);
    restored.restore(optimizer.state());
    optimizer.step(params, grads, 0.1);
    restored.step(copy, grads, 0.1);
    assertArrayEquals(array(params), array(copy));
    assertEquals(3, restored.state().step());
  }

  @Test
  void theBitsDoNotDependOnThreadsOrTheKindOfBuffer() throws Exception {
    int n = 3 * FlatFloats.GRAIN + 7;
    Random random = new Random(8);
    float[] start = normal(random, n, 1);
    FloatBuffer grads = flat(normal(random, n, 1));
    FloatBuffer here = flat(start);
    create(n).step(here, grads, 0.01);
    for (int threads : new int[] {1, 4}) {
      FloatBuffer there = FloatBuffer.wrap(start.clone());
      ForkJoinPool pool = new ForkJoinPool(threads);
      try {
        pool.submit(() -> create(n).step(there, grads, 0.01)).get();
      } finally {
        pool.shutdown();
      }
      assertArrayEquals(array(here), array(there));
    }
  }

  @Test
  void aWrongLengthOrRateLeavesEverythingAsItWas() {
    HostOptimizer optimizer = create(2);
    FloatBuffer params = flat(new float[] {1, 2});
    FloatBuffer grads = flat(new float[] {1, 1});
    FloatBuffer longer = flat(new float[3]);
    assertThrows(IllegalArgumentException.class, () -> optimizer.step(params, longer, 0.1));
    assertThrows(IllegalArgumentException.class, () -> optimizer.step(longer, grads, 0.1));
    assertThrows(IllegalArgumentException.class, () -> optimizer.step(params, grads, Double.NaN));
    assertThrows(IllegalArgumentException.class, () -> optimizer.step(params, grads, -1));
    assertEquals(0, optimizer.state().step());
    assertArrayEquals(new float[] {1, 2}, array(params));
  }

  @Test
  void gradientsAreOnlyRead() {
    FloatBuffer grads = flat(new float[] {1, -2}).asReadOnlyBuffer();
    create(2).step(flat(new float[2]), grads, 0.1);
    assertArrayEquals(new float[] {1, -2}, array(grads));
  }

  @Test
  void theStateOfAnotherLayoutIsRefused() {
    HostOptimizer optimizer = create(4);
    optimizer.state().buffers().forEach((name, buffer) -> assertEquals(4, buffer.limit(), name));
    OptimizerState other = create(5).state();
    assertThrows(InvalidInputException.class, () -> optimizer.restore(other));
    OptimizerState foreign = new OptimizerState(3, Map.of("nothing", FloatBuffer.allocate(4)));
    assertThrows(InvalidInputException.class, () -> optimizer.restore(foreign));
    assertEquals(0, optimizer.state().step());
  }
}
