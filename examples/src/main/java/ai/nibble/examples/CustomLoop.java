package ai.nibble.examples;

import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.train.TrainStep;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** A training loop of one's own: load in NF4, inject, loop, save. */
public final class CustomLoop {
  private CustomLoop() {}

  /**
   * Fine-tunes a base on tokenised rows.
   *
   * @return the loss of every step
   */
  public static double[] train(Path base, List<Example> rows, int steps, Path output)
      throws IOException {
    LoraConfig config = LoraConfig.DEFAULT.withRank(8, 16);
    try (CausalLm model = CausalLm.load(base, LoadOptions.nf4());
        LoraAdapter adapter = LoraAdapter.inject(model, config, 42)) {
      int parameters = Math.toIntExact(adapter.parameters().numel());
      AdamW optimizer = new AdamW(AdamWConfig.DEFAULT, parameters);
      TrainStep step =
          new TrainStep(model, adapter, new SupervisedFineTuning(), optimizer, 1.0, false);
      EpochSampler batches = new EpochSampler(rows, 4, 42);
      double[] losses = new double[steps];
      for (int s = 0; s < steps; s++) {
        double learningRate = 5e-3 * (steps - s) / steps;
        losses[s] = step.run(List.of(batches.next()), learningRate, s).loss();
      }
      AdapterStore.save(adapter, output, base.toString(), true);
      return losses;
    }
  }
}
