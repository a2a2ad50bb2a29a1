package ai.nibble.bench;

import ai.nibble.data.ChatTemplate;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.WeightSource;
import ai.nibble.train.log.ProcessMemory;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Map;

/**
 * Time and memory of loading a base, ready to be trained or generated with: its weights, its
 * tokenizer and its chat template. One loading a process, for memory is the process's.
 *
 * <p>Arguments: base, {@code bf16} or {@code nf4dq}.
 */
public final class LoadSpeed {
  private LoadSpeed() {}

  /** Loads once and prints one line. */
  public static void main(String[] args) {
    Path base = Path.of(args[0]);
    LoadOptions options = HeldAs.options(args[1]);
    long bare = ProcessMemory.residentBytes();
    double before = sinceStart();
    Path directory = WeightSource.directory(base);
    double alone = sinceStart();
    try (CausalLm model = CausalLm.load(base, options)) {
      double weights = sinceStart();
      try (Tokenizer tokenizer = Tokenizer.load(directory)) {
        ChatTemplate.load(directory, Map.of());
        double all = sinceStart();
        System.out.printf(
            Locale.ROOT,
            "nibble %s: %.2f s (java %.2f, files of a GGUF alone %.2f, weights %.2f, tokenizer of"
                + " %d tokens %.2f), %.2f s of CPU, resident %d MiB of which %d before loading and"
                + " %d of weights, peak %d MiB%n",
            args[1],
            all,
            before,
            alone - before,
            weights - alone,
            tokenizer.vocabSize(),
            all - weights,
            cpuSeconds(),
            ProcessMemory.residentBytes() >> 20,
            bare >> 20,
            model.weightBytes() >> 20,
            ProcessMemory.peakBytes() >> 20);
      }
    }
  }

  private static double sinceStart() {
    return (System.currentTimeMillis() - ManagementFactory.getRuntimeMXBean().getStartTime()) / 1e3;
  }

  /** What other processes do changes it less than time. */
  private static double cpuSeconds() {
    return ((OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean())
            .getProcessCpuTime()
        / 1e9;
  }
}
