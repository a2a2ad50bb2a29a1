package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class CustomLoopTest {
  @TempDir Path temp;

  @Test
  void itLearnsAndWritesAnAdapterThatLoads() throws Exception {
    Path base = TinyBase.write(temp);
    Path output = temp.resolve("adapter");
    long live = Tensor.live();
    double[] losses =
        CustomLoop.train(base, TinyBase.rows(temp), new SupervisedFineTuning(), 20, output);
    assertEquals(live, Tensor.live());
    assertEquals(20, losses.length);
    assertTrue(losses[19] < losses[0] - 0.5, losses[0] + " to " + losses[19]);
    try (CausalLm model = CausalLm.load(base, LoadOptions.nf4());
        LoraAdapter adapter = AdapterStore.load(model, output)) {
      assertEquals(14, adapter.modules().size());
    }
  }
}
