package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class SgdTest extends OptimizerContract {
  @Override
  HostOptimizer create(int elements) {
    return new Sgd(new SgdConfig(0.9, 0.01), ranges(elements));
  }

  @Test
  void movesValuesAsTorchDoes() {
    int compared =
        Golden.assertFollows(
            "others.json",
            "sgd",
            (kase, slots) ->
                new Sgd(
                    new SgdConfig(kase.get("momentum").doubleValue(), 0),
                    slots.stream().map(ParameterSlot::range).toList()),
            2e-6);
    assertEquals(4, compared);
  }

  @Test
  void withoutMomentumNothingIsRemembered() {
    assertEquals(0, new Sgd(new SgdConfig(0, 0), ranges(3)).state().buffers().size());
  }
}
