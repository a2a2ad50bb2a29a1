package ai.nibble.model;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.FrozenWeight;
import ai.nibble.nn.Linear;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.nn.RmsNorm;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.nio.file.Path;

/**
 * Turns a base's stored tensors into layers, one tensor at a time: memory never holds more than the
 * finished model and the piece being read.
 */
final class WeightLoader {
  private static final int ROWS_A_RANGE = 64;

  private final WeightSource source;
  private final Path base;
  private final LoadOptions options;

  /**
   * @param base for messages
   */
  WeightLoader(WeightSource source, Path base, LoadOptions options) {
    this.source = source;
    this.base = base;
    this.options = options;
  }

  ModelConfig config() {
    return source.config();
  }

  Precision precision() {
    return options.precision();
  }

  /** A linear of the module at a path, quantised if the options say so. */
  Linear linear(String path, long out, long in, boolean bias) {
    String name = path + ".weight";
    FrozenWeight weight =
        options.quantization().isPresent()
            ? quantized(name, out, in)
            : new DenseWeight(dense(name, out, in));
    try {
      return new Linear(path, weight, bias ? vector(path + ".bias", out) : null);
    } catch (RuntimeException e) {
      weight.close();
      throw e;
    }
  }

  private FrozenWeight quantized(String name, long out, long in) {
    DType dtype = heldDtype(name);
    return Quant4Weight.quantize(
        name,
        options.quantization().orElseThrow(),
        dtype,
        out,
        in,
        (first, values, count) -> {
          source.read(name, first, values, 0, count);
          round(dtype, values, count);
        });
  }

  /** A matrix as it was stored. */
  Tensor dense(String name, long rows, long columns) {
    DType dtype = heldDtype(name);
    Tensor tensor = Tensor.empty(dtype, rows, columns);
    try {
      Parallel.forRanges(
          rows,
          ROWS_A_RANGE,
          (begin, end) -> {
            try (Rows to = Rows.writing(tensor, begin, end)) {
              float[] row = new float[(int) columns];
              for (long r = begin; r < end; r++) {
                source.read(name, r * columns, row, 0, row.length);
                to.store(r, row);
              }
            }
          });
      requireFinite(name, tensor);
      return tensor;
    } catch (RuntimeException e) {
      tensor.close();
      throw e;
    }
  }

  RmsNorm norm(String name) {
    return new RmsNorm(vector(name, config().hiddenSize()), config().rmsNormEps());
  }

  /** A vector as float32, rounded to the dtype it is held in. */
  private Tensor vector(String name, long length) {
    float[] values = new float[(int) length];
    source.read(name, 0, values, 0, values.length);
    round(heldDtype(name), values, values.length);
    Tensor tensor = Tensor.of(values, length);
    requireFinite(name, tensor);
    return tensor;
  }

  /**
   * bfloat16 and float32 stay; others (a GGUF's block types, float16) become the dtype that the
   * configuration names, if that is bfloat16, else float32.
   */
  private DType heldDtype(String name) {
    DType stored = source.dtype(name);
    if (stored == DType.BFLOAT16 || config().dtype() != DType.BFLOAT16) {
      return stored == DType.BFLOAT16 ? DType.BFLOAT16 : DType.FLOAT32;
    }
    return DType.BFLOAT16;
  }

  private static void round(DType dtype, float[] values, int count) {
    if (dtype == DType.BFLOAT16) {
      for (int i = 0; i < count; i++) {
        values[i] = Bfloat16.round(values[i]);
      }
    }
  }

  private void requireFinite(String name, Tensor tensor) {
    long width = tensor.size(-1);
    try (Tensor rows = tensor.view(tensor.numel() / width, width)) {
      Parallel.forRanges(
          rows.size(0),
          ROWS_A_RANGE,
          (begin, end) -> {
            try (Rows from = Rows.reading(rows, begin, end)) {
              float[] row = new float[(int) width];
              for (long r = begin; r < end; r++) {
                from.load(r, row);
                requireFinite(name, r, row);
              }
            }
          });
    }
  }

  private void requireFinite(String name, long r, float[] row) {
    for (int c = 0; c < row.length; c++) {
      if (!Float.isFinite(row[c])) {
        throw new InvalidInputException(
            base
                + ": tensor '"
                + name
                + "' holds "
                + row[c]
                + " at ["
                + r
                + ", "
                + c
                + "], expected finite weights: fetch the file again");
      }
    }
  }
}
