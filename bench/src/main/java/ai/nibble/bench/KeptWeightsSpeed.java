package ai.nibble.bench;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Optimizer;
import ai.nibble.optim.ParameterRange;
import ai.nibble.tensor.DType;
import ai.nibble.train.TrainStep;
import ai.nibble.train.objective.SupervisedFineTuning;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.stream.IntStream;

/**
 * What it saves that dequantised weights are kept: training steps without and with, in turn in one
 * process, in seconds and in processor time, which others on the machine change less. NF4 with
 * double quantisation, rank 16 on every linear, no dropout, AdamW, one sequence of random tokens.
 *
 * <p>Arguments: base, compute dtype, way of checkpointing, rounds, steps of a round, then the
 * lengths.
 */
public final class KeptWeightsSpeed {
  private static final OperatingSystemMXBean SYSTEM =
      ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);

  private KeptWeightsSpeed() {}

  /** Prints a line for each length, round and mode, then medians. */
  public static void main(String[] args) {
    Path base = Path.of(args[0]);
    LoadOptions options =
        new LoadOptions(
            LoadOptions.nf4().quantization(), DType.valueOf(args[1].toUpperCase(Locale.ROOT)));
    Checkpointing checkpointing = Checkpointing.valueOf(args[2].toUpperCase(Locale.ROOT));
    int rounds = Integer.parseInt(args[3]);
    int steps = Integer.parseInt(args[4]);
    try (CausalLm model = CausalLm.load(base, options);
        LoraAdapter adapter = LoraAdapter.inject(model, LoraConfig.DEFAULT.withDropout(0), 0)) {
      List<Integer> all = IntStream.range(0, model.config().numHiddenLayers()).boxed().toList();
      long bytes = all.stream().mapToLong(model::dequantizedBytes).sum();
      System.out.printf(Locale.ROOT, "all layers kept: %d MiB%n", bytes >> 20);
      Optimizer optimizer =
          AdamWConfig.DEFAULT.over(
              adapter.parameters(), ParameterRange.decayingMatrices(adapter.parameters(), 0));
      TrainStep step =
          new TrainStep(model, adapter, new SupervisedFineTuning(), optimizer, 0, checkpointing);
      for (String length : Arrays.copyOfRange(args, 5, args.length)) {
        Batch batch = batch(Integer.parseInt(length));
        double[][] wall = new double[2][rounds];
        double[][] processor = new double[2][rounds];
        for (int round = 0; round < rounds; round++) {
          for (int kept = 0; kept < 2; kept++) {
            model.keepDequantized(kept == 0 ? List.of() : all);
            time(step, batch, steps, kept, round, wall, processor);
          }
        }
        System.out.printf(
            Locale.ROOT,
            "%s tokens, %s: %.3f s (%.3f of processor time) without, %.3f s (%.3f) with%n",
            length,
            args[2],
            median(wall[0]),
            median(processor[0]),
            median(wall[1]),
            median(processor[1]));
      }
    }
  }

  /** Medians of the steps behind a first one. */
  private static void time(
      TrainStep step,
      Batch batch,
      int steps,
      int kept,
      int round,
      double[][] wall,
      double[][] processor) {
    double[] seconds = new double[steps];
    double[] busy = new double[steps];
    step.run(List.of(batch), 1e-4, 0);
    for (int s = 0; s < steps; s++) {
      long start = System.nanoTime();
      long before = SYSTEM.getProcessCpuTime();
      step.run(List.of(batch), 1e-4, s);
      seconds[s] = (System.nanoTime() - start) / 1e9;
      busy[s] = (SYSTEM.getProcessCpuTime() - before) / 1e9;
    }
    wall[kept][round] = median(seconds);
    processor[kept][round] = median(busy);
    System.err.printf(
        Locale.ROOT,
        "round %d %s: %.3f s, %.3f of processor time%n",
        round,
        kept == 0 ? "without" : "with",
        wall[kept][round],
        processor[kept][round]);
  }

  private static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
  }

  private static Batch batch(int length) {
    int[] ids = new Random(0).ints(length, 100, 40_000).toArray();
    return Batch.of(List.of(new Example(ids, ids)));
  }
}
