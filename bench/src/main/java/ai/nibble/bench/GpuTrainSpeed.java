package ai.nibble.bench;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import ai.nibble.train.TrainStep;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/**
 * Speed and memory of training steps on a GPU: a model of a given shape with random weights in NF4
 * with double quantisation, rank 16 on every linear, no dropout, AdamW, packed sequences of random
 * tokens that all carry loss.
 *
 * <p>Arguments: directory with config.json, tokens a sequence, then runs {@code
 * CHECKPOINTING:TOKENS} (such as {@code block:8192}), in the order of the memory they need: what
 * one has reserved the next keeps.
 */
public final class GpuTrainSpeed {
  private static final int WARM_UP_STEPS = 2;
  private static final int STEPS = 5;
  private static final Device GPU = new Device(Device.Type.CUDA, 0);

  private GpuTrainSpeed() {}

  /** Prints one line a run. */
  public static void main(String[] args) {
    int length = Integer.parseInt(args[1]);
    long free = Torch.freeBytes(GPU);
    long start = System.nanoTime();
    LoadOptions options = new LoadOptions(LoadOptions.nf4().quantization(), DType.BFLOAT16).on(GPU);
    try (UniformWeights weights = new UniformWeights(Path.of(args[0]));
        CausalLm model = CausalLm.load(weights, Path.of(args[0]), options, (done, total) -> {});
        LoraAdapter adapter = LoraAdapter.inject(model, LoraConfig.DEFAULT.withDropout(0), 0)) {
      System.out.printf(
          Locale.ROOT,
          "%s made and quantised in %.1f s, %.2f GiB of the GPU%n",
          Path.of(args[0]).getFileName(),
          (System.nanoTime() - start) / 1e9,
          (free - Torch.freeBytes(GPU)) / 0x1p30);
      for (String run : Arrays.asList(args).subList(2, args.length)) {
        String[] parts = run.split(":");
        measure(model, adapter, length, parts[0], Integer.parseInt(parts[1]));
        System.out.printf(
            Locale.ROOT, ", %.1f GiB of the GPU%n", (free - Torch.freeBytes(GPU)) / 0x1p30);
      }
    }
  }

  private static void measure(
      CausalLm model, LoraAdapter adapter, int length, String mode, int tokens) {
    Checkpointing checkpointing = Checkpointing.valueOf(mode.toUpperCase(Locale.ROOT));
    TrainStep step =
        new TrainStep(
            model,
            adapter,
            new SupervisedFineTuning(),
            AdamW.over(
                adapter.parameters(),
                AdamWConfig.DEFAULT,
                ParameterRange.decayingMatrices(adapter.parameters(), 0)),
            1,
            checkpointing);
    Random random = new Random(0);
    double[] seconds = new double[STEPS];
    double loss = 0;
    for (int s = 0; s < STEPS; s++) {
      Batch batch = batch(random, tokens, length, model.config().vocabSize());
      long start = System.nanoTime();
      loss = step.run(List.of(batch), 1e-4, s).loss();
      seconds[s] = (System.nanoTime() - start) / 1e9;
    }
    double[] timed = Arrays.copyOfRange(seconds, WARM_UP_STEPS, STEPS);
    Arrays.sort(timed);
    double median = timed[timed.length / 2];
    System.out.printf(
        Locale.ROOT,
        "checkpointing %s, %d tokens a step: %.0f tokens/s (median step %.1f ms), loss %.4f",
        mode,
        tokens,
        tokens / median,
        median * 1e3,
        loss);
  }

  private static Batch batch(Random random, int tokens, int length, int vocabulary) {
    List<Example> rows = new ArrayList<>();
    for (int left = tokens; left > 0; left -= length) {
      int[] ids = random.ints(Math.min(length, left), 0, vocabulary).toArray();
      rows.add(new Example(ids, ids));
    }
    return Batch.of(rows);
  }
}
