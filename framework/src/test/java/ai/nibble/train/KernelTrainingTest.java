package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertEquals;

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
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.FieldSource;

/** A model whose layers are computed by kernels, compiled for the host, trains as without them. */
class KernelTrainingTest {
  private static final int STEPS = 3;

  @TempDir Path folder;

  /** Loss and gradient norm of each step of training adapters. */
  private double[] train(Checkpointing checkpointing, double dropout) {
    LoraConfig config = LoraConfig.DEFAULT.withRank(3, 6).withDropout(dropout);
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
        LoraAdapter adapter = LoraAdapter.inject(model, config, 4)) {
      return train(model, adapter, checkpointing);
    }
  }

  private static double[] train(CausalLm model, Trainable trained, Checkpointing checkpointing) {
    double[] seen = new double[2 * STEPS];
    TrainStep step = PlainSteps.of(model, trained, 0, 1, checkpointing);
    Random random = new Random(5);
    for (int s = 0; s < STEPS; s++) {
      int[] first = random.ints(9, 0, 11).toArray();
      int[] second = random.ints(5, 0, 11).toArray();
      Batch batch = Batch.of(List.of(new Example(first, first), new Example(second, second)));
      TrainStep.Outcome outcome = step.run(List.of(batch), 1e-3, s);
      seen[2 * s] = outcome.loss();
      seen[2 * s + 1] = outcome.gradNorm();
    }
    return seen;
  }

  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void isAsWithoutKernels(Checkpointing checkpointing) {
    TinyModel tiny = new TinyModel(11, true).scaled(0.5f);
    tiny.writeTo(folder);
    for (double dropout : new double[] {0, 0.3}) {
      double[] expected = train(checkpointing, dropout);
      double[] seen;
      KernelLaunchers.Installation kernels = HostKernels.install();
      try (kernels) {
        seen = train(checkpointing, dropout);
      }
      assertSame(expected, seen);
    }
  }

  /** float32: sums in another order differ by some 2⁻²⁴, a hundred times that after all layers. */
  private static void assertSame(double[] expected, double[] seen) {
    for (int i = 0; i < seen.length; i++) {
      assertEquals(expected[i], seen[i], 1e-5 * Math.abs(expected[i]), "value " + i);
    }
  }

  /** Adapters with what is computed again, and all weights, of each architecture. */
  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void everyArchitectureTrainsAsWithoutKernels(String modelType) {
    TinyModel tiny = TinyModel.of(modelType, 15).scaled(0.5f);
    tiny.writeTo(folder);
    double[] expected = train(Checkpointing.SELECTIVE, 0.3);
    double[] all = trainAllWeights();
    KernelLaunchers.Installation kernels = HostKernels.install();
    try (kernels) {
      assertSame(expected, train(Checkpointing.SELECTIVE, 0.3));
      assertSame(all, trainAllWeights());
    }
  }

  private double[] trainAllWeights() {
    try (CausalLm model = CausalLm.load(folder, LoadOptions.trained(DType.FLOAT32))) {
      return train(model, new AllWeights(model), Checkpointing.NONE);
    }
  }
}
