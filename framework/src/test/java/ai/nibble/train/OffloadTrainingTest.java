package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
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
import ai.nibble.tensor.DType;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.RecordingCopies;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Steps whose checkpoints go to the host and come back have the bits of those that keep them. */
class OffloadTrainingTest {
  private static final int STEPS = 3;

  @TempDir Path folder;

  /** Loss and norm of each step, then what was trained. */
  private record Trained(List<Double> seen, float[] values) {}

  private Trained adapter(Checkpointing checkpointing) {
    LoraConfig config = LoraConfig.DEFAULT.withRank(3, 6).withDropout(0.3);
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
        LoraAdapter adapter = LoraAdapter.inject(model, config, 4)) {
      return train(model, adapter, checkpointing);
    }
  }

  private Trained allWeights(Checkpointing checkpointing) {
    try (CausalLm model = CausalLm.load(folder, LoadOptions.trained(DType.FLOAT32))) {
      return train(model, new AllWeights(model), checkpointing);
    }
  }

  /** Two micro-batches a step, of other lengths each time. */
  private static Trained train(CausalLm model, Trainable trained, Checkpointing checkpointing) {
    TrainStep step = PlainSteps.of(model, trained, 0, 1, checkpointing);
    Random random = new Random(5);
    List<Double> seen = new ArrayList<>();
    for (int s = 0; s < STEPS; s++) {
      int[] first = random.ints(9 + s, 0, 11).toArray();
      int[] second = random.ints(5, 0, 11).toArray();
      Batch both = Batch.of(List.of(new Example(first, first), new Example(second, second)));
      Batch one = Batch.of(List.of(new Example(second, second)));
      TrainStep.Outcome outcome = step.run(List.of(both, one), 1e-3, s);
      seen.add(outcome.loss());
      seen.add(outcome.gradNorm());
    }
    return new Trained(seen, trained.parameters().values().toFloats());
  }

  private static void assertSame(Trained expected, Trained trained) {
    assertEquals(expected.seen, trained.seen);
    assertArrayEquals(expected.values, trained.values);
  }

  private void write(String modelType) {
    TinyModel tiny = TinyModel.of(modelType, 15).scaled(0.5f);
    tiny.writeTo(folder);
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama", "qwen3", "gemma2", "mixtral"})
  void theBitsAreThoseOfBlocks(String modelType) {
    write(modelType);
    Trained adapter = adapter(Checkpointing.BLOCK);
    Trained all = allWeights(Checkpointing.BLOCK);
    for (boolean eager : new boolean[] {false, true}) {
      try (RecordingCopies copies = new RecordingCopies(eager)) {
        assertSame(adapter, adapter(Checkpointing.OFFLOAD));
        assertTrue(copies.count("cuMemcpyDtoHAsync") > 0);
        assertSame(all, allWeights(Checkpointing.OFFLOAD));
        assertEquals(0, copies.held());
      }
    }
    assertSame(adapter, adapter(Checkpointing.OFFLOAD)); // nowhere to go
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void soTheyAreByKernels(boolean eager) {
    write("llama");
    KernelLaunchers.Installation kernels = HostKernels.install();
    try (kernels) {
      Trained expected = adapter(Checkpointing.BLOCK);
      try (RecordingCopies copies = new RecordingCopies(eager)) {
        assertSame(expected, adapter(Checkpointing.OFFLOAD));
        assertEquals(0, copies.held());
      }
    }
  }
}
