package ai.nibble.bench;

import ai.nibble.data.Tokenizer;
import ai.nibble.generate.Completion;
import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.WeightSource;
import ai.nibble.train.log.ProcessMemory;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/**
 * Speed and memory of greedy decoding: one sequence, a prompt of a few tokens, which no token ends.
 * One mode a process, for peak memory is the process's.
 *
 * <p>Arguments: base, {@code bf16} or {@code nf4dq}, new tokens.
 */
public final class DecodeSpeed {
  private static final String PROMPT = "In 1969, the first humans";
  private static final int RUNS = 4;

  private DecodeSpeed() {}

  /** Runs one mode and prints one line. */
  public static void main(String[] args) {
    Path base = Path.of(args[0]);
    LoadOptions options = HeldAs.options(args[1]);
    int newTokens = Integer.parseInt(args[2]);
    long start = System.nanoTime();
    try (CausalLm model = CausalLm.load(base, options);
        Tokenizer tokenizer = Tokenizer.load(WeightSource.directory(base));
        Generator generator = new Generator(model)) {
      double load = (System.nanoTime() - start) / 1e9;
      System.err.println(generator.description());
      int[] prompt = tokenizer.encode(PROMPT).ids();
      GenerationSettings settings = GenerationSettings.greedy(newTokens, Set.of());
      double[] speeds = new double[RUNS];
      for (int run = 0; run < RUNS; run++) {
        long cpu = cpuNanos();
        start = System.nanoTime();
        Completion completion = generator.complete(List.of(prompt), settings).get(0);
        speeds[run] = newTokens / ((System.nanoTime() - start) / 1e9);
        System.err.printf(
            Locale.ROOT,
            "run %d %.1f tokens/s, %.1f ms of CPU a token%n",
            run,
            speeds[run],
            (cpuNanos() - cpu) / 1e6 / newTokens);
        if (run == 0) {
          System.err.println(tokenizer.decode(completion.tokens(), false));
        }
      }
      double[] warm = Arrays.copyOfRange(speeds, 1, RUNS);
      Arrays.sort(warm);
      System.out.printf(
          Locale.ROOT,
          "nibble %s: %.1f tokens/s (first run %.1f), load %.1f s, peak resident %d MiB%n",
          args[1],
          warm[warm.length / 2],
          speeds[0],
          load,
          ProcessMemory.peakBytes() >> 20);
    }
  }

  /** Processor time of the process so far: what other processes do changes it less than time. */
  private static long cpuNanos() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
        .getProcessCpuTime();
  }
}
