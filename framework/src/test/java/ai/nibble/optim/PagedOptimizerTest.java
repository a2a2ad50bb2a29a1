package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.cuda.KernelTestCase;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.RecordingPages;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Moments in unified memory are the moments of the same optimizer without. */
class PagedOptimizerTest extends KernelTestCase {
  private static final AdamWConfig ADAMW = new AdamWConfig(0.9, 0.999, 1e-8, 0.1);

  /** One tensor that has its moments in 8 bits, whose last block is not whole, and a small one. */
  private static ParameterSet parameters() {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("a", new long[] {10, 419});
    shapes.put("b", new long[] {3, 5});
    ParameterSet parameters = new ParameterSet(shapes);
    parameters.setValues(FloatBuffer.wrap(gaussian(DType.FLOAT32, 1, (int) parameters.numel())));
    return parameters;
  }

  private static void step(ParameterSet parameters, GradientStep steps, int seed) {
    int n = (int) parameters.numel();
    parameters.grads().setFloats(FloatBuffer.wrap(gaussian(DType.FLOAT32, seed, n)));
    steps.begin();
    steps.addMicroBatch();
    steps.apply(1e-2, 1);
  }

  private static void assertSameState(OptimizerState expected, OptimizerState state) {
    assertEquals(expected.step(), state.step());
    assertEquals(expected.buffers(), state.buffers());
    assertEquals(expected.vectors(), state.vectors());
  }

  private void assertPagesChangeNoBit(OptimizerConfig unpaged, long bytes) {
    RecordingPages memory = new RecordingPages();
    try (ParameterSet here = parameters();
        ParameterSet there = parameters()) {
      List<ParameterRange> ranges = ParameterRange.decayingMatrices(here, 0.1);
      Optimizer plain = unpaged.over(here, ranges);
      Optimizer paged = new PagedConfig(unpaged).over(there, ranges, memory::allocate);
      assertEquals(plain.getClass(), paged.getClass());
      String allocation = "cuMemAllocManaged(" + bytes + ", 1, context c064)";
      assertTrue(memory.calls().contains(allocation), "one, of " + bytes + " bytes");
      for (int step = 0; step < 3; step++) {
        step(here, plain.over(here), 10 + step);
        step(there, paged.over(there), 10 + step);
        assertArrayEquals(here.values().toFloats(), there.values().toFloats(), "step " + step);
        // all of it, on libtorch's stream, once a step
        assertEquals(
            List.of("cuMemPrefetchAsync(" + bytes + ", device 100, stream 57ae)"), memory.calls());
      }
      assertSameState(plain.state(), paged.state());
      try (ParameterSet again = parameters()) {
        again.setValues(there.hostValues());
        Optimizer restored = new PagedConfig(unpaged).over(again, ranges, memory::allocate);
        restored.restore(plain.state());
        step(here, plain.over(here), 20);
        step(again, restored.over(again), 20);
        assertArrayEquals(here.values().toFloats(), again.values().toFloats());
      }
      assertEquals(1, memory.held());
    }
    assertEquals(0, memory.held(), "freed with the parameters");
  }

  @Test
  void adamWInPagesGivesTheBitsOfAdamW() {
    // 2 moments of 4205 values of 4 bytes, each up to a multiple of 256
    assertPagesChangeNoBit(ADAMW, 2 * 16896);
  }

  @Test
  void adamWOf8BitsInPagesGivesTheBitsOfAdamWOf8Bits() {
    // codes of 4190 values, absmax of 17 blocks, 15 values in float32: up to multiples of 256
    assertPagesChangeNoBit(new AdamW8bitConfig(ADAMW), 2 * (4352 + 256 + 256));
  }

  @Test
  void onlyAdamWHasAPagedForm() {
    assertThrows(IllegalArgumentException.class, () -> new PagedConfig(new SgdConfig(0, 0)));
    PagedConfig paged = new PagedConfig(ADAMW);
    assertTrue(paged.isPaged() && !ADAMW.isPaged());
    assertThrows(IllegalArgumentException.class, () -> new PagedConfig(paged));
    assertEquals(ADAMW.savedBytesAValue(), paged.savedBytesAValue());
  }
}
