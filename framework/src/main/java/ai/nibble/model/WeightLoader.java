package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.GroupedWeight;
import ai.nibble.nn.Linear;
import ai.nibble.nn.NormScale;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.nn.Quant8Weight;
import ai.nibble.nn.RmsNorm;
import ai.nibble.nn.Weight;
import ai.nibble.quant.ElementSource;
import ai.nibble.quant.GroupedMatrix;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.quant.QuantizedMatrix;
import ai.nibble.quant.stored.StoredMatrix;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Supplier;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Turns a base's stored tensors into layers, one tensor at a time: memory never holds more than the
 * finished model and the piece being read.
 */
final class WeightLoader {
  private static final Logger LOG = LoggerFactory.getLogger(WeightLoader.class);

  private static final int ROWS_A_RANGE = 64;

  private final WeightSource source;
  private final Path base;
  private final LoadOptions options;
  private final ParameterSet parameters;

  /**
   * @param base for messages
   */
  WeightLoader(WeightSource source, Path base, LoadOptions options) {
    this.source = source;
    this.base = base;
    this.options = options;
    requireHoldable(source, base, options);
    this.parameters = options.trained() ? allWeights(source, options.placement()) : null;
  }

  /** Checks by the headers that the weights can be held as the options say. */
  static void requireHoldable(WeightSource source, Path base, LoadOptions options) {
    options.quantization().ifPresent(config -> requireNamesModules(config, source.config(), base));
    if (options.trained() && source.quantization().isPresent()) {
      throw new InvalidInputException(
          base
              + ": is quantised ("
              + source.quantization().get()
              + "), whose weights cannot be trained themselves: train an adapter (adapter: qlora),"
              + " or use the original model");
    }
    if (options.trained()) {
      AllWeights.requireFits(source.config(), base.toString());
    }
  }

  private static void requireNamesModules(QuantConfig config, ModelConfig model, Path base) {
    try {
      config.skipModules().requireAmong(CausalLm.linearPaths(model));
    } catch (InvalidInputException e) {
      throw new InvalidInputException(base + ": " + e.getMessage(), e);
    }
  }

  private static ParameterSet allWeights(WeightSource source, Placement placement) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    source.names().forEach(name -> shapes.put(name, source.shape(name)));
    return ParameterSet.over(shapes, placement::of);
  }

  /** All weights, if they are to be trained; filled as the layers are made. */
  Optional<ParameterSet> parameters() {
    return Optional.ofNullable(parameters);
  }

  ModelConfig config() {
    return source.config();
  }

  /** Where each module goes. */
  Placement placement() {
    return options.placement();
  }

  /** Where a tensor goes, by its name. */
  private Device device(String name) {
    return options.placement().of(name);
  }

  Precision precision() {
    return options.precision();
  }

  /** A linear of the module at a path, held as it is stored if that is quantised, else as asked. */
  Linear linear(String path, long out, long in, boolean bias) {
    String name = path + ".weight";
    if (parameters != null) {
      return Linear.trained(path, filled(name), bias ? filled(path + ".bias") : null);
    }
    Weight weight = weight(path, name, out, in);
    try {
      return new Linear(path, weight, bias ? vector(path + ".bias", out) : null);
    } catch (RuntimeException e) {
      weight.close();
      throw e;
    }
  }

  /** A linear without bias that is held as it was stored, whatever the options say. */
  Linear denseLinear(String path, long out, long in) {
    String name = path + ".weight";
    return parameters != null
        ? Linear.trained(path, filled(name), null)
        : new Linear(path, dense(name, out, in), null);
  }

  private Weight weight(String path, String name, long out, long in) {
    Optional<StoredMatrix> stored = source.quantized(name);
    if (stored.isPresent()) {
      return stored(name, stored.get());
    }
    // of a base that is quantised already, the rest is meant to be as it is
    return options
        .quantization()
        .filter(config -> config.quantizes(path) && source.quantization().isEmpty())
        .map(config -> quantized(config, name, out, in))
        .orElseGet(() -> dense(name, out, in));
  }

  /** The output head, where it is not the embedding: plain, or as it is stored quantised. */
  Weight head(String name, long rows, long columns) {
    return source
        .quantized(name)
        .map(matrix -> stored(name, matrix))
        .orElseGet(() -> dense(name, rows, columns));
  }

  private Weight stored(String name, StoredMatrix matrix) {
    QuantizedMatrix held = placed(matrix::read);
    try {
      if (held instanceof Quantized4Bit weight) {
        return onDevice(name, new Quant4Weight(weight));
      }
      if (held instanceof Quantized8Bit weight) {
        return onDevice(name, new Quant8Weight(weight, matrix.threshold()));
      }
      return onDevice(name, new GroupedWeight((GroupedMatrix) held));
    } catch (RuntimeException e) {
      held.close();
      throw e;
    }
  }

  private Weight quantized(QuantConfig config, String name, long out, long in) {
    ElementSource values = (first, into, count) -> source.readHeld(name, first, into, 0, count);
    if (config instanceof Quant4Config c) {
      DType dtype = source.heldDtype(name);
      return onDevice(name, placed(() -> Quant4Weight.quantize(name, c, dtype, out, in, values)));
    }
    return onDevice(
        name, placed(() -> Quant8Weight.quantize(name, (Quant8Config) config, out, in, values)));
  }

  /** The weight itself where it goes to the CPU, else a copy in its place. */
  private Weight onDevice(String name, Quant4Weight weight) {
    if (weight.device().equals(device(name))) {
      return weight;
    }
    try (weight) {
      return weight.to(device(name));
    }
  }

  /** The weight itself where it goes to the CPU, else a copy in its place. */
  private Weight onDevice(String name, GroupedWeight weight) {
    if (weight.device().equals(device(name))) {
      return weight;
    }
    try (weight) {
      return weight.to(device(name));
    }
  }

  /** The weight itself where it goes to the CPU, else a copy in its place. */
  private Weight onDevice(String name, Quant8Weight weight) {
    if (weight.device().equals(device(name))) {
      return weight;
    }
    try (weight) {
      return weight.to(device(name));
    }
  }

  /** A matrix as it was stored, or to be trained. */
  DenseWeight dense(String name, long rows, long columns) {
    if (parameters != null) {
      return new DenseWeight(filled(name));
    }
    Tensor tensor = Tensor.empty(source.heldDtype(name), rows, columns);
    try {
      read(name, tensor);
      return new DenseWeight(onDevice(name, tensor));
    } catch (RuntimeException e) {
      tensor.close();
      throw e;
    }
  }

  /** The tensor itself where it goes to the CPU, else a copy in its place. */
  private Tensor onDevice(String name, Tensor tensor) {
    if (tensor.device().equals(device(name))) {
      return tensor;
    }
    try (tensor) {
      return tensor.to(device(name));
    }
  }

  /** A trained tensor with its first values: as they were stored, not rounded. */
  private Parameter filled(String name) {
    Parameter parameter = parameters.get(name);
    long width = parameter.value().size(-1);
    try (Tensor rows = parameter.value().view(parameter.value().numel() / width, width);
        Tensor host =
            rows.device().isCpu() ? rows.share() : Tensor.empty(DType.FLOAT32, rows.shape())) {
      read(name, host);
      if (!rows.device().isCpu()) {
        rows.copyFrom(host);
      }
    }
    return parameter;
  }

  private void read(String name, Tensor matrix) {
    int columns = (int) matrix.size(1);
    Parallel.forRanges(
        matrix.size(0),
        ROWS_A_RANGE,
        (begin, end) -> {
          try (Rows to = Rows.writing(matrix, begin, end)) {
            float[] row = new float[columns];
            for (long r = begin; r < end; r++) {
              source.read(name, r * columns, row, 0, columns);
              to.store(r, row);
            }
          }
        });
    requireFinite(name, matrix);
  }

  /** A norm of vectors of so many elements. */
  RmsNorm norm(String name, long length) {
    NormScale scale = config().form().norms().scale();
    if (parameters != null) {
      return new RmsNorm(filled(name), config().rmsNormEps(), scale);
    }
    return new RmsNorm(vector(name, length), config().rmsNormEps(), scale);
  }

  /** A vector as float32, rounded to the dtype it is held in. */
  private Tensor vector(String name, long length) {
    float[] values = new float[(int) length];
    source.readHeld(name, 0, values, 0, values.length);
    for (int c = 0; c < values.length; c++) {
      if (!Float.isFinite(values[c])) {
        found(new NonFinite(name, 0, c, values[c]));
        break;
      }
    }
    return Tensor.of(device(name), values, length);
  }

  /** Where a tensor holds a value that is no finite number. */
  private record NonFinite(String name, long row, int column, float value) {
    @Override
    public String toString() {
      return "tensor '" + name + "' holds " + value + " at [" + row + ", " + column + "]";
    }
  }

  private void requireFinite(String name, Tensor matrix) {
    int width = (int) matrix.size(1);
    AtomicReference<NonFinite> first = new AtomicReference<>();
    Parallel.forRanges(
        matrix.size(0),
        ROWS_A_RANGE,
        (begin, end) -> {
          try (Rows from = Rows.reading(matrix, begin, end)) {
            float[] row = new float[width];
            for (long r = begin; r < end; r++) {
              from.load(r, row);
              for (int c = 0; c < width; c++) {
                if (!Float.isFinite(row[c])) {
                  NonFinite here = new NonFinite(name, r, c, row[c]);
                  first.accumulateAndGet(here, (a, b) -> a != null && a.row() <= b.row() ? a : b);
                  return;
                }
              }
            }
          }
        });
    if (first.get() != null) {
      found(first.get());
    }
  }

  /** Refuses what was found, or says so where such weights are to be taken as they are. */
  private void found(NonFinite value) {
    if (!options.nonFinite() || options.trained()) {
      throw new InvalidInputException(
          base
              + ": "
              + value
              + ", expected finite weights: fetch the file again"
              + (options.trained()
                  ? ""
                  : "; to compute with them as they are, set allow_nonfinite_weights: true"
                      + " (generate, chat: --allow-nonfinite-weights)"));
    }
    LOG.warn("{}: {}, taken as it is: what is computed with it is not a number", base, value);
  }

  /** What refuses a matrix while it is read or quantised knows its name, and not the file. */
  private <T> T placed(Supplier<T> reading) {
    try {
      return reading.get();
    } catch (InvalidInputException e) {
      throw e.at(base);
    }
  }
}
