package ai.nibble.bench;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamW8bitConfig;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Optimizer;
import ai.nibble.optim.OptimizerConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.tensor.DType;
import ai.nibble.train.TrainStep;
import ai.nibble.train.log.ProcessMemory;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;

/**
 * Speed and memory of a training step: NF4 with double quantisation, rank 16 on every linear, no
 * dropout, AdamW, two sequences of 512 random tokens. One mode a process, for peak memory is the
 * process's.
 *
 * <p>Arguments: base, compute dtype ({@code float32}, {@code bfloat16}), {@code none}, {@code
 * selective}, {@code partial} or {@code block} checkpointing, steps, and what is other than usual:
 * {@code dora} for magnitudes, {@code adamw_8bit} for moments in 8 bits.
 */
public final class TrainSpeed {
  private static final int SEQUENCES = 2;
  private static final int LENGTH = 512;
  private static final int WARM_UP_STEPS = 2;

  private TrainSpeed() {}

  /** Runs one mode and prints one line. */
  public static void main(String[] args) {
    Path base = Path.of(args[0]);
    DType compute = DType.valueOf(args[1].toUpperCase(Locale.ROOT));
    Checkpointing checkpointing = Checkpointing.valueOf(args[2].toUpperCase(Locale.ROOT));
    int steps = Integer.parseInt(args[3]);
    LoadOptions options = new LoadOptions(LoadOptions.nf4().quantization(), compute);
    String other = args.length > 4 ? args[4] : "";
    LoraConfig config =
        LoraConfig.DEFAULT
            .withDropout(0)
            .withExtras(AdapterExtras.NONE.withDora(other.equals("dora")));
    OptimizerConfig optimizers =
        other.equals("adamw_8bit") ? new AdamW8bitConfig(AdamWConfig.DEFAULT) : AdamWConfig.DEFAULT;
    try (CausalLm model = CausalLm.load(base, options);
        LoraAdapter adapter = LoraAdapter.inject(model, config, 0)) {
      Optimizer optimizer =
          optimizers.over(
              adapter.parameters(),
              ParameterRange.decayingMatrices(adapter.parameters(), optimizers.weightDecay()));
      TrainStep step =
          new TrainStep(model, adapter, new SupervisedFineTuning(), optimizer, 0, checkpointing);
      Random random = new Random(0);
      double[] seconds = new double[steps];
      for (int s = 0; s < steps; s++) {
        Batch batch = batch(random);
        long start = System.nanoTime();
        step.run(List.of(batch), 2e-4, s);
        seconds[s] = (System.nanoTime() - start) / 1e9;
        System.err.printf(Locale.ROOT, "step %d %.2f s%n", s, seconds[s]);
      }
      double[] timed = Arrays.copyOfRange(seconds, WARM_UP_STEPS, steps);
      Arrays.sort(timed);
      double median = (timed[(timed.length - 1) / 2] + timed[timed.length / 2]) / 2;
      System.out.printf(
          Locale.ROOT,
          "nibble %s checkpointing %s: %.1f tokens/s (median step %.2f s), peak resident %d MiB%n",
          args[1],
          args[2],
          SEQUENCES * LENGTH / median,
          median,
          ProcessMemory.peakBytes() >> 20);
    }
  }

  private static Batch batch(Random random) {
    List<Example> rows = new ArrayList<>();
    for (int i = 0; i < SEQUENCES; i++) {
      int[] ids = random.ints(LENGTH, 100, 40_000).toArray();
      rows.add(new Example(ids, ids));
    }
    return Batch.of(rows);
  }
}
