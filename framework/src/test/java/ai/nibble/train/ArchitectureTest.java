package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.model.Trainable;
import ai.nibble.nn.Parameter;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What holds of training for each architecture that there is. */
class ArchitectureTest {
  private static final int STEPS = 2;

  @TempDir Path folder;
  private long liveBefore;

  static Stream<String> modelTypes() {
    return TinyModel.MODEL_TYPES.stream();
  }

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private void write(String modelType) {
    TinyModel tiny = TinyModel.of(modelType, 21).scaled(0.5f);
    tiny.writeTo(folder);
  }

  /** Sequences longer than any window, in one pass. */
  private static Batch batch(Random random) {
    int[] first = random.ints(13, 0, 11).toArray();
    int[] second = random.ints(9, 0, 11).toArray();
    return Batch.of(List.of(new Example(first, first), new Example(second, second)));
  }

  private static void step(CausalLm model, Trainable trained, Checkpointing checkpointing) {
    TrainStep step = PlainSteps.of(model, trained, 0.01, 1, checkpointing);
    Random random = new Random(5);
    for (int s = 0; s < STEPS; s++) {
      step.run(List.of(batch(random)), 1e-2, s);
    }
  }

  private float[] adapterAfter(DType compute, Checkpointing checkpointing) {
    LoraConfig config = LoraConfig.DEFAULT.withRank(3, 6).withDropout(0.2);
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(compute));
        LoraAdapter adapter = LoraAdapter.inject(model, config, 4)) {
      step(model, adapter, checkpointing);
      return adapter.parameters().values().toFloats();
    }
  }

  @ParameterizedTest
  @MethodSource("modelTypes")
  void checkpointingChangesNoBitOfAnAdapter(String modelType) {
    write(modelType);
    for (DType compute : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      float[] expected = adapterAfter(compute, Checkpointing.NONE);
      assertArrayEquals(expected, adapterAfter(compute, Checkpointing.SELECTIVE));
      assertArrayEquals(expected, adapterAfter(compute, Checkpointing.PARTIAL));
      assertArrayEquals(expected, adapterAfter(compute, Checkpointing.BLOCK));
    }
  }

  /** Norms of heads and biases among them; the bias of a key moves all scores alike. */
  @ParameterizedTest
  @MethodSource("modelTypes")
  void allWeightsLearnAndCheckpointingChangesNoBitOfThem(String modelType) {
    write(modelType);
    float[] expected = null;
    for (Checkpointing checkpointing : Checkpointing.values()) {
      try (CausalLm model = CausalLm.load(folder, LoadOptions.trained(DType.FLOAT32))) {
        AllWeights all = new AllWeights(model);
        List<float[]> before =
            all.parameters().parameters().stream().map(p -> p.value().toFloats()).toList();
        step(model, all, checkpointing);
        for (int i = 0; i < before.size(); i++) {
          Parameter p = all.parameters().parameters().get(i);
          assertFalse(Arrays.equals(before.get(i), p.value().toFloats()), p.name());
        }
        float[] after = all.parameters().values().toFloats();
        expected = expected == null ? after : expected;
        assertArrayEquals(expected, after);
      }
    }
  }

  /** What a window or a layer without positions is for shows in the logits. */
  @ParameterizedTest
  @MethodSource("modelTypes")
  void whatAnArchitectureDiffersInChangesTheLoss(String modelType) {
    write(modelType);
    double own = loss();
    TinyModel plain = TinyModel.of(modelType, 21).scaled(0.5f);
    switch (modelType) {
      case "mistral" -> plain.fields.put("sliding_window", "null");
      case "qwen2" -> plain.fields.put("use_sliding_window", "false");
      case "smollm3" -> plain.fields.put("no_rope_layers", "[1, 1]");
      case "gemma3_text" -> plain.fields.put("rope_local_base_freq", "100.0");
      case "phi3" -> plain.fields.put("original_max_position_embeddings", "20");
      case "gemma2" -> plain.fields.put("attn_logit_softcapping", "null");
      default -> {
        return;
      }
    }
    plain.writeConfig(folder);
    assertTrue(Math.abs(own - loss()) > 1e-4, modelType + " " + own + " " + loss());
  }

  private double loss() {
    try (CausalLm model = CausalLm.load(folder, LoadOptions.trained(DType.FLOAT32))) {
      AllWeights all = new AllWeights(model);
      TrainStep step = PlainSteps.of(model, all, 0, 1, Checkpointing.NONE);
      return step.run(List.of(batch(new Random(5))), 0, 0).loss();
    }
  }
}
