package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.FloatBuffer;
import org.junit.jupiter.api.Test;

class AdafactorTest extends OptimizerContract {
  @Override
  HostOptimizer create(int elements) {
    return new Adafactor(slots(elements));
  }

  /** A value near 1 is rounded at each of six steps: 6·2⁻²⁴ is 4e-5 of the rate of 0.01. */
  @Test
  void movesValuesAsTransformersDoes() {
    int compared =
        Golden.assertFollows(
            "others.json", "adafactor", (kase, slots) -> new Adafactor(slots), 5e-5);
    assertEquals(6, compared);
  }

  @Test
  void remembersRowsAndColumnsOfAMatrixOnly() {
    assertEquals(50 + 2, remembered(100));
    assertEquals(99, remembered(99));
  }

  private static int remembered(int elements) {
    OptimizerState state = new Adafactor(slots(elements)).state();
    assertEquals(0, state.buffers().size());
    return state.vectors().values().stream().mapToInt(FloatBuffer::limit).sum();
  }
}
