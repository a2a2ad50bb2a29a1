package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.QuantizedMatrix;
import ai.nibble.quant.SkipModules;
import ai.nibble.quant.stored.QuantizationConfig;
import ai.nibble.quant.stored.StoredMatrices;
import ai.nibble.quant.stored.StoredMatrix;
import ai.nibble.safetensors.SafetensorsDirectory;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.tensor.DType;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/** Weights out of a Hugging Face model directory: one safetensors file or several with an index. */
public final class SafetensorsWeights implements WeightSource {
  private final SafetensorsDirectory files;

  private final Parameters parameters;
  private final StoredMatrices matrices;

  /** The quantised matrix whose values were asked for last. */
  private final Current<QuantizedMatrix> current;

  private SafetensorsWeights(
      SafetensorsDirectory files, Parameters parameters, StoredMatrices matrices) {
    this.files = files;
    this.parameters = parameters;
    this.matrices = matrices;
    this.current = new Current<>(name -> matrices.byName().get(name).read());
  }

  /**
   * Opens a directory and checks names, shapes and dtypes against a configuration. Linears may lie
   * quantised ({@link StoredMatrices}).
   *
   * @param notices takes one line for everything that is chosen in the caller's place
   * @throws InvalidInputException if a file is missing or damaged, or does not fit, with a line for
   *     each reason
   */
  public static SafetensorsWeights open(
      Path directory, ModelConfig config, Consumer<String> notices) {
    SafetensorsDirectory files = SafetensorsDirectory.open(directory);
    try {
      Optional<QuantizationConfig> quantization = QuantizationConfig.read(directory);
      StoredMatrices matrices = StoredMatrices.find(files, quantization);
      Parameters parameters =
          Parameters.match(
              directory.toString(),
              config,
              stored(files, matrices, config),
              (a, b) ->
                  SameValues.of(
                      a,
                      b,
                      (tensor, first, out, count) ->
                          files.readFloats(tensor.storedName(), first, out, 0, count)),
              notices);
      requireSaid(directory, quantization, matrices);
      tellPlain(directory, parameters, quantization, matrices, notices);
      return new SafetensorsWeights(files, parameters, matrices);
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

  /** A quantised matrix is held by its values, which no dtype but float32 has all of. */
  @Override
  public DType heldDtype(String name) {
    return quantized(name).isPresent() ? DType.FLOAT32 : WeightSource.super.heldDtype(name);
  }

  @Override
  public Optional<StoredMatrix> quantized(String name) {
    return Optional.ofNullable(matrices.byName().get(parameters.get(name).storedName()));
  }

  @Override
  public StoredForm storedForm(String name) {
    return quantized(name)
        .map(
            matrix ->
                new StoredForm(
                    matrix.description(),
                    matrix.parts().stream().mapToLong(part -> files.tensor(part).bytes()).sum()))
        .orElseGet(() -> WeightSource.super.storedForm(name));
  }

  @Override
  public Optional<String> quantization() {
    return matrices.description();
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    StoredTensor tensor = parameters.get(name, firstElement, out, offset, count);
    if (matrices.byName().containsKey(tensor.storedName())) {
      current.use(tensor.storedName(), matrix -> matrix.read(firstElement, out, offset, count));
      return;
    }
    files.readFloats(tensor.storedName(), firstElement, out, offset, count);
  }

  @Override
  public void close() {
    current.close();
    files.close();
  }

  /** What config.json says is quantised must be: else its weights are another model's. */
  private static void requireSaid(
      Path directory, Optional<QuantizationConfig> quantization, StoredMatrices matrices) {
    if (quantization.isPresent() && matrices.byName().isEmpty()) {
      throw new InvalidInputException(
          directory
              + ": config.json has a '"
              + QuantizationConfig.KEY
              + "', but no weight here is quantised; use the config.json that belongs to these"
              + " weights");
    }
  }

  private static void tellPlain(
      Path directory,
      Parameters parameters,
      Optional<QuantizationConfig> quantization,
      StoredMatrices matrices,
      Consumer<String> notices) {
    if (matrices.byName().isEmpty()) {
      return;
    }
    SkipModules skipped =
        new SkipModules(quantization.map(QuantizationConfig::skipModules).orElse(List.of()));
    List<String> plain =
        CausalLm.linearPaths(parameters.config()).stream()
            .filter(path -> !matrices.byName().containsKey(path + ".weight"))
            .filter(path -> !skipped.contains(path))
            .toList();
    if (!plain.isEmpty()) {
      notices.accept(
          directory
              + ": "
              + plain.size()
              + " linears are stored in 16 or 32 bits beside quantised ones, and stay so: "
              + String.join(", ", plain.subList(0, Math.min(3, plain.size())))
              + (plain.size() > 3 ? " …" : ""));
    }
  }

  /**
   * Whether a bias stands beside a quantised matrix that the model has no bias for, and adds
   * nothing: AutoGPTQ wrote one for every linear.
   */
  private static boolean isEmptyBias(
      SafetensorsDirectory files, StoredMatrices matrices, Set<String> expected, String name) {
    if (!name.endsWith(".bias")
        || expected.contains(name)
        || !matrices.byName().containsKey(name.replaceFirst("\\.bias$", ".weight"))) {
      return false;
    }
    float[] values = new float[Math.toIntExact(files.tensor(name).elements())];
    files.readFloats(name, 0, values, 0, values.length);
    for (float value : values) {
      if (value != 0) {
        return false;
      }
    }
    return true;
  }

  private static Map<String, StoredTensor> stored(
      SafetensorsDirectory files, StoredMatrices matrices, ModelConfig config) {
    Set<String> expected = DecoderParameters.shapes(config).keySet();
    Map<String, StoredTensor> stored = new LinkedHashMap<>();
    matrices
        .byName()
        .forEach(
            (name, matrix) ->
                stored.put(
                    name,
                    new StoredTensor(
                        name,
                        List.of(matrix.out(), matrix.in()),
                        Optional.of(DType.FLOAT32),
                        matrix.description())));
    for (String name : files.names()) {
      if (matrices.isPart(name) || isEmptyBias(files, matrices, expected, name)) {
        continue;
      }
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
