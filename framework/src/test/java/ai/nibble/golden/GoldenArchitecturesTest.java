package ai.nibble.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.TrainStep;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What the fixtures lack of architectures and settings, and gradients of all weights of each,
 * against transformers; golden.py beside the cases made them.
 */
class GoldenArchitecturesTest {
  private static Path folder(String name) {
    try {
      return Path.of(GoldenArchitecturesTest.class.getResource("architectures/" + name).toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "smollm3",
        "smollm3_sliding",
        "qwen2_sliding",
        "qwen3_biases",
        "mistral_null",
        "gemma2",
        "gemma2_uncapped",
        "gemma3",
        "phi3_long",
        "phi3_short",
        "phi3_sliding",
        "olmo2"
      })
  void logitsLossAndGradientsOfAllWeightsAreTheReferences(String name) {
    long live = Tensor.live();
    try (CausalLm model = CausalLm.load(folder(name), LoadOptions.trained(DType.FLOAT32));
        SafetensorsFile golden = SafetensorsFile.open(folder(name).resolve("golden.safetensors"))) {
      int[] ids = Golden.ints(golden, "input_ids");
      assertArrayEquals(Golden.floats(golden, "logits"), Golden.logits(model, ids), 1e-4f);
      for (Checkpointing checkpointing : Checkpointing.values()) {
        TrainStep.Outcome outcome = step(model, ids, checkpointing);
        float norm = Golden.floats(golden, "grad_norm")[0];
        assertEquals(Golden.floats(golden, "loss")[0], outcome.loss(), 2e-4);
        assertEquals(norm, outcome.gradNorm(), 1e-3 * norm);
      }
      int[] prompt = Arrays.copyOf(ids, 3);
      assertArrayEquals(Golden.greedy(model, prompt, 20), Golden.generated(model, prompt, 20));
    }
    assertEquals(live, Tensor.live());
  }

  /** A step that changes nothing: its learning rate is 0. */
  private static TrainStep.Outcome step(CausalLm model, int[] ids, Checkpointing checkpointing) {
    AllWeights all = new AllWeights(model);
    TrainStep step =
        new TrainStep(
            model,
            all,
            new SupervisedFineTuning(),
            AdamW.over(
                all.parameters(),
                AdamWConfig.DEFAULT,
                ParameterRange.decayingMatrices(all.parameters(), 0)),
            1e9,
            checkpointing);
    return step.run(List.of(Batch.of(List.of(new Example(ids, ids)))), 0, 0);
  }
}
