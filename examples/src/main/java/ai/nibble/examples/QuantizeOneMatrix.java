package ai.nibble.examples;

import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantizer4Bit;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.PrintStream;
import java.util.Locale;
import java.util.Random;

/** One matrix to NF4 with double quantisation and back: what it takes and what it costs. */
public final class QuantizeOneMatrix {
  private QuantizeOneMatrix() {}

  /** Quantises a matrix of Gaussian values, as weights of a trained model roughly are. */
  public static void main(String[] args) {
    float[] matrix = new float[1024 * 1024];
    Random random = new Random(42);
    for (int i = 0; i < matrix.length; i++) {
      matrix[i] = (float) (0.02 * random.nextGaussian());
    }
    run(matrix, 1024, 1024, System.out);
  }

  /**
   * Quantises, dequantises and says how far off the result is.
   *
   * @param matrix {@code [rows, columns]}, row-major, finite
   * @return the dequantised matrix
   */
  public static float[] run(float[] matrix, int rows, int columns, PrintStream out) {
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    try (Tensor weight = Tensor.of(matrix, rows, columns);
        Quantized4Bit quantized = Quantizer4Bit.quantize("matrix", weight, nf4);
        Tensor back = Tensor.empty(DType.FLOAT32, rows, columns)) {
      quantized.dequantize(back);
      float[] values = back.toFloats();
      double bits = 8.0 * quantized.bytes() / matrix.length;
      double error = relativeError(matrix, values);
      out.printf(Locale.ROOT, "%,d bytes as float32%n", weight.byteSize());
      out.printf(Locale.ROOT, "%,d bytes in NF4, %.3f bits a value%n", quantized.bytes(), bits);
      out.printf(Locale.ROOT, "relative error %.4f (root mean square)%n", error);
      return values;
    }
  }

  /** The norm of the difference over the norm of what was expected. */
  static double relativeError(float[] expected, float[] seen) {
    double difference = 0;
    double norm = 0;
    for (int i = 0; i < expected.length; i++) {
      difference += Math.pow(expected[i] - seen[i], 2);
      norm += Math.pow(expected[i], 2);
    }
    return Math.sqrt(difference / norm);
  }
}
