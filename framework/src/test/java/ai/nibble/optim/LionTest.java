package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class LionTest extends OptimizerContract {
  @Override
  HostOptimizer create(int elements) {
    return new Lion(new LionConfig(0.9, 0.99, 0.01), ranges(elements));
  }

  /** A value near 1 is rounded at each of six steps: 6·2⁻²⁴ is 4e-5 of the rate of 0.01. */
  @Test
  void movesValuesAsBitsandbytesDoes() {
    int compared =
        Golden.assertFollows(
            "others.json",
            "lion",
            (kase, slots) ->
                new Lion(
                    new LionConfig(0.9, 0.99, 0),
                    slots.stream().map(ParameterSlot::range).toList()),
            4e-5);
    assertEquals(2, compared);
  }
}
