package ai.nibble.examples;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.EncodedDataset;
import ai.nibble.data.EncodingSettings;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.RowFile;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.format.RowFormat;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.train.TrainStep;
import ai.nibble.train.objective.Objective;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** A training loop of one's own: read rows, load in NF4, inject, loop, save. */
public final class CustomLoop {
  private CustomLoop() {}

  /**
   * Fine-tunes a base on a file of alpaca rows.
   *
   * @param base a Hugging Face directory
   * @param objective such as {@code new SupervisedFineTuning()}
   * @return the loss of every step
   */
  public static double[] train(Path base, Path file, Objective objective, int steps, Path output)
      throws IOException {
    double[] losses = new double[steps];
    List<Example> rows;
    try (Tokenizer tokenizer = Tokenizer.load(base);
        RowFile lines = new RowFile(file, Map.of())) {
      ChatTemplate template = ChatTemplate.load(base, Map.of());
      EncodingSettings settings = EncodingSettings.withLength(512);
      ExampleEncoder encoder = new ExampleEncoder(tokenizer, template, settings);
      rows = EncodedDataset.encode("rows", lines, RowFormat.named("alpaca"), encoder).examples();
    }
    LoraConfig config = LoraConfig.DEFAULT.withRank(8, 16);
    try (CausalLm model = CausalLm.load(base, LoadOptions.nf4());
        LoraAdapter adapter = LoraAdapter.inject(model, config, 42)) {
      AdamW adamW = new AdamW(AdamWConfig.DEFAULT, (int) adapter.parameters().numel());
      TrainStep step = new TrainStep(model, adapter, objective, adamW, 1.0, Checkpointing.NONE);
      EpochSampler batches = new EpochSampler(rows, 4, 42);
      for (int s = 0; s < steps; s++) {
        double learningRate = 5e-3 * (steps - s) / steps;
        losses[s] = step.run(List.of(batches.next()), learningRate, s).loss();
      }
      AdapterStore.save(adapter, output, base.toString(), true);
    }
    return losses;
  }
}
