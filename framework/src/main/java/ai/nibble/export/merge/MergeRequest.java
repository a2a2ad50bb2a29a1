package ai.nibble.export.merge;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;

/**
 * What is to be merged, and how.
 *
 * @param base a Hugging Face directory or a GGUF file; for {@code undo} the merged model
 * @param adapters at least one
 * @param quantization of the base's linears before they are merged into: how training held them;
 *     empty for the weights as stored
 * @param dtype of the output; empty for the one the base's {@code config.json} names
 * @param maxShardBytes of a file
 * @param chatTemplate the one that was trained with; empty for the base's
 * @param prompts lines to prove the merge on; empty for built-in ones
 * @param undo whether to take the adapters out of a merged model instead
 * @param output a new directory
 * @param device where the proof's logits are computed
 */
public record MergeRequest(
    Path base,
    List<Adapter> adapters,
    Optional<QuantConfig> quantization,
    Optional<DType> dtype,
    long maxShardBytes,
    Optional<Path> chatTemplate,
    Optional<Path> prompts,
    boolean undo,
    Path output,
    Device device) {
  /** 5 GB, as transformers had it for years. */
  public static final long MAX_SHARD_BYTES = 5_000_000_000L;

  /**
   * One adapter.
   *
   * @param directory in PEFT's form
   * @param weight factor of its update; empty for 1, or what it was merged with
   */
  public record Adapter(Path directory, OptionalDouble weight) {
    /**
     * @throws InvalidInputException if the weight is not finite or zero
     */
    public Adapter {
      if (weight.isPresent()
          && (!Double.isFinite(weight.getAsDouble()) || weight.getAsDouble() == 0)) {
        throw new InvalidInputException(
            directory
                + ": its weight is "
                + weight.getAsDouble()
                + ", expected a number other than 0");
      }
    }
  }

  /** Proven on the CPU. */
  public MergeRequest(
      Path base,
      List<Adapter> adapters,
      Optional<QuantConfig> quantization,
      Optional<DType> dtype,
      long maxShardBytes,
      Optional<Path> chatTemplate,
      Optional<Path> prompts,
      boolean undo,
      Path output) {
    this(
        base,
        adapters,
        quantization,
        dtype,
        maxShardBytes,
        chatTemplate,
        prompts,
        undo,
        output,
        Device.CPU);
  }

  /**
   * @throws InvalidInputException if an adapter is given twice
   */
  public MergeRequest {
    adapters = List.copyOf(adapters);
    if (adapters.isEmpty()) {
      throw new IllegalArgumentException("no adapter to merge");
    }
    Set<Path> directories = new HashSet<>();
    for (Adapter adapter : adapters) {
      if (!directories.add(adapter.directory().toAbsolutePath().normalize())) {
        throw new InvalidInputException(
            adapter.directory() + ": is given twice, expected once: say how much by its weight");
      }
    }
  }
}
