package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.nio.FloatBuffer;
import java.util.List;
import org.junit.jupiter.api.Test;

class MuonTest extends OptimizerContract {
  @Override
  HostOptimizer create(int elements) {
    return new Muon(new MuonConfig(0.95, AdamWConfig.DEFAULT), slots(elements));
  }

  /**
   * A rate of 0.02·0.2·√40, values near 1 rounded at each of six steps, and five iterations that
   * carry relative roundings of some 1e-6 on.
   */
  @Test
  void movesMatricesAsTorchDoes() {
    int compared =
        Golden.assertFollows(
            "muon.json",
            "muon",
            (kase, slots) -> new Muon(new MuonConfig(0.95, AdamWConfig.DEFAULT), slots),
            2e-4);
    assertEquals(4, compared);
  }

  @Test
  void vectorsEmbeddingsAndHeadAreAdamWs() {
    for (String name : new String[] {"model.norm.weight", "model.embed_tokens.weight"}) {
      ParameterRange range = new ParameterRange(0, 6, 1, 0.1);
      long[] shape = name.contains("norm") ? new long[] {6} : new long[] {3, 2};
      AdamWConfig config = new AdamWConfig(0.9, 0.99, 1e-8, 0.1);
      HostOptimizer muon =
          new Muon(new MuonConfig(0.95, config), List.of(new ParameterSlot(name, 0, shape, range)));
      HostOptimizer adamW = new AdamW(config, List.of(range));
      FloatBuffer a = flat(Golden.values(1, 6, 1));
      FloatBuffer b = flat(Golden.values(1, 6, 1));
      for (int step = 0; step < 3; step++) {
        FloatBuffer grads = flat(Golden.values(2 + step, 6, 1));
        muon.step(a, grads, 0.01);
        adamW.step(b, grads, 0.01);
      }
      assertArrayEquals(array(b), array(a), name);
    }
  }
}
