package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsType;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** A matrix that bitsandbytes wrote in 8 bits, by rows: LLM.int8(). */
final class BitsAndBytes8 implements StoredMatrix {
  /** What the scales' name ends in, after the module's. */
  static final String SCB = ".SCB";

  static final String WEIGHT_FORMAT = ".weight_format";
  static final String WEIGHT = ".weight";

  private final TensorParts tensors;
  private final String module;
  private final double threshold;

  private BitsAndBytes8(TensorParts tensors, String module, double threshold) {
    this.tensors = tensors;
    this.module = module;
    this.threshold = threshold;
  }

  /**
   * Checks the tensors' headers.
   *
   * @param scaleName the tensor that ends in {@link #SCB}
   * @param threshold of outliers
   * @throws InvalidInputException if the parts do not fit together
   */
  static BitsAndBytes8 open(TensorParts tensors, String scaleName, double threshold) {
    String module = scaleName.substring(0, scaleName.length() - SCB.length());
    BitsAndBytes8 matrix = new BitsAndBytes8(tensors, module, threshold);
    String name = matrix.name();
    if (!tensors.has(name)) {
      throw new InvalidInputException(
          tensors.place(scaleName) + " belongs to '" + name + "', which is missing");
    }
    SafetensorsTensor codes = tensors.header(name);
    if (codes.type() != SafetensorsType.I8 || codes.shape().size() != 2) {
      throw new InvalidInputException(
          tensors.place(name)
              + " is "
              + codes.type()
              + " "
              + codes.shape()
              + ", expected I8 [out, in], as '"
              + scaleName
              + "' is beside it; fetch the file again");
    }
    tensors.require(
        name,
        scaleName,
        SafetensorsType.F32,
        List.of(List.of(matrix.out()), List.of(matrix.out(), 1L)));
    matrix.checkFormat();
    return matrix;
  }

  private void checkFormat() {
    String format = module + WEIGHT_FORMAT;
    if (!tensors.has(format)) {
      return; // older files have none, and are by rows
    }
    tensors.require(name(), format, SafetensorsType.U8, List.of(List.of(), List.of(1L)));
    int value = tensors.bytes(format)[0];
    if (value != 0) {
      throw new InvalidInputException(
          tensors.place(format)
              + " is "
              + value
              + ", expected 0: rows; the others are layouts of kernels that bitsandbytes no longer"
              + " has: load the model with an older bitsandbytes and save it again, or use the"
              + " original model");
    }
  }

  @Override
  public String name() {
    return module + WEIGHT;
  }

  @Override
  public long out() {
    return tensors.header(name()).shape().get(0);
  }

  @Override
  public long in() {
    return tensors.header(name()).shape().get(1);
  }

  @Override
  public List<String> parts() {
    List<String> parts = new ArrayList<>(List.of(name(), module + SCB));
    if (tensors.has(module + WEIGHT_FORMAT)) {
      parts.add(module + WEIGHT_FORMAT);
    }
    return parts;
  }

  @Override
  public String description() {
    return "int8";
  }

  @Override
  public int bits() {
    return 8;
  }

  @Override
  public long scaleBytes() {
    return out() * Float.BYTES;
  }

  @Override
  public boolean isInt8() {
    return true;
  }

  @Override
  public double threshold() {
    return threshold;
  }

  @Override
  public Quantized8Bit read() {
    try (Scope scope = new Scope()) {
      Tensor codes = scope.own(tensors.tensor(name(), DType.INT8, out(), in()));
      Tensor scales = scope.own(tensors.tensor(module + SCB, DType.FLOAT32, out()));
      Quantized8Bit matrix = Quantized8Bit.of(name(), codes, scales);
      scope.release();
      return matrix;
    }
  }
}
