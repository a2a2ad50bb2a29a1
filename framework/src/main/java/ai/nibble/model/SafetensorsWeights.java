package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/** Weights out of a Hugging Face model directory: one safetensors file or several with an index. */
public final class SafetensorsWeights implements WeightSource {
  /** Bytes read at a time; a piece is still in the second-level cache when it is converted. */
  private final SafetensorsDirectory files;

  private final Parameters parameters;

  private SafetensorsWeights(SafetensorsDirectory files, Parameters parameters) {
    this.files = files;
    this.parameters = parameters;
  }

  /**
   * Opens a directory and checks names, shapes and dtypes against a configuration.
   *
   * @param notices takes one line for everything that is chosen in the caller's place
   * @throws InvalidInputException if a file is missing or damaged, or does not fit, with a line for
   *     each reason
   */
  public static SafetensorsWeights open(
      Path directory, ModelConfig config, Consumer<String> notices) {
    SafetensorsDirectory files = SafetensorsDirectory.open(directory);
    try {
      Parameters parameters =
          Parameters.match(
              directory.toString(),
              config,
              stored(files, config),
              (a, b) ->
                  SameValues.of(
                      a,
                      b,
                      (tensor, first, out, count) ->
                          files.readFloats(tensor.storedName(), first, out, 0, count)),
              notices);
      return new SafetensorsWeights(files, parameters);
    } catch (RuntimeException e) {
      files.close();
      throw e;
    }
  }

  @Override
  public ModelConfig config() {
    return parameters.config();
  }

  @Override
  public Set<String> names() {
    return parameters.names();
  }

  @Override
  public long[] shape(String name) {
    return parameters.shape(name);
  }

  @Override
  public DType dtype(String name) {
    return parameters.get(name).dtype().orElseThrow();
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    StoredTensor tensor = parameters.get(name, firstElement, out, offset, count);
    files.readFloats(tensor.storedName(), firstElement, out, offset, count);
  }

  @Override
  public void close() {
    files.close();
  }

  private static Map<String, StoredTensor> stored(SafetensorsDirectory files, ModelConfig config) {
    Map<String, StoredTensor> stored = new LinkedHashMap<>();
    for (String name : files.names()) {
      SafetensorsTensor tensor = files.tensor(name);
      Optional<String> own = TextConfig.tensorName(config, name);
      if (own.isEmpty()) {
        continue; // of what sees images
      }
      stored.put(
          own.get(),
          new StoredTensor(
              name,
              tensor.shape(),
              tensor.dtype().filter(DType::isFloatingPoint),
              tensor.type().toString()));
    }
    return stored;
  }
}
