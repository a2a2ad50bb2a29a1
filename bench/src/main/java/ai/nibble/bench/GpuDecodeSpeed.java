package ai.nibble.bench;

import ai.nibble.generate.GenerationSettings;
import ai.nibble.generate.Generator;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.Set;

/**
 * Speed and memory of greedy decoding on a GPU, one sequence, for a model of a given shape with
 * random weights.
 *
 * <p>Arguments: directory with config.json, {@code bf16} or {@code nf4dq}, new tokens.
 */
public final class GpuDecodeSpeed {
  private static final int PROMPT = 16;
  private static final int RUNS = 4;
  private static final Device GPU = new Device(Device.Type.CUDA, 0);

  private GpuDecodeSpeed() {}

  /** Prints one line. */
  public static void main(String[] args) {
    Path directory = Path.of(args[0]);
    Optional<QuantConfig> quantization =
        args[1].equals("bf16") ? Optional.empty() : LoadOptions.nf4().quantization();
    int newTokens = Integer.parseInt(args[2]);
    long free = Torch.freeBytes(GPU);
    LoadOptions options = new LoadOptions(quantization, DType.BFLOAT16).on(GPU);
    try (UniformWeights weights = new UniformWeights(directory);
        CausalLm model = CausalLm.load(weights, directory, options, (done, total) -> {});
        Generator generator = new Generator(model)) {
      int[] prompt = new int[PROMPT];
      Arrays.setAll(prompt, i -> 100 + i);
      double[] speeds = new double[RUNS];
      for (int run = 0; run < RUNS; run++) {
        long start = System.nanoTime();
        generator.complete(List.of(prompt), GenerationSettings.greedy(newTokens, Set.of()));
        speeds[run] = newTokens / ((System.nanoTime() - start) / 1e9);
      }
      double[] warm = Arrays.copyOfRange(speeds, 1, RUNS);
      Arrays.sort(warm);
      System.out.printf(
          Locale.ROOT,
          "%s %s: %.1f tokens/s (%.2f ms a token), %.1f GiB of the GPU%n",
          directory.getFileName(),
          args[1],
          warm[1],
          1e3 / warm[1],
          (free - Torch.freeBytes(GPU)) / 0x1p30);
    }
  }
}
