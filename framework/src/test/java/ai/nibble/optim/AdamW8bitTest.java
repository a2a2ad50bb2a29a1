package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class AdamW8bitTest extends OptimizerContract {
  private static final AdamWConfig CONFIG = new AdamWConfig(0.9, 0.999, 1e-8, 0.01);

  @Override
  HostOptimizer create(int elements) {
    return new AdamW8bit(CONFIG, slots(elements));
  }

  /**
   * The same codes but where a moment lies on the edge between two, which roundings of another
   * order of operations can move it over: a code's neighbour is some percent away, and so may be
   * the step.
   */
  @Test
  void movesValuesAsBitsandbytesDoes() {
    int compared =
        Golden.assertFollows(
            "others.json",
            "adamw_8bit",
            (kase, slots) -> new AdamW8bit(new AdamWConfig(0.9, 0.999, 1e-8, 0), slots),
            1e-3);
    assertEquals(4, compared);
  }

  @Test
  void momentsTakeTwoBytesAValueAndSmallTensorsStayInFloat32() {
    AdamW8bit small = new AdamW8bit(CONFIG, slots(AdamW8bit.MIN_8BIT_SIZE - 2));
    assertEquals(0, small.state().vectors().size());
    AdamW8bit large = new AdamW8bit(CONFIG, slots(AdamW8bit.MIN_8BIT_SIZE + 2));
    large.state().vectors().forEach((name, absmax) -> assertEquals(17, absmax.limit(), name));
    assertEquals(2, large.state().vectors().size());
  }
}
