package ai.nibble.nn;

import ai.nibble.quant.ElementSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantizer4Bit;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.Locale;

/** A weight held in 4 bits and dequantised at each use. Takes over what it is made of. */
public final class Quant4Weight implements Weight {
  /** A multiple of every block size: ranges are quantised on their own. */
  private static final long ELEMENTS_A_RANGE = 1L << 16;

  private final Quantized4Bit weight;
  private final long out;
  private final long in;

  /**
   * @param weight of shape {@code [out, in]}
   */
  public Quant4Weight(Quantized4Bit weight) {
    this.weight = weight;
    this.out = weight.shape()[0];
    this.in = weight.shape()[1];
  }

  /**
   * Quantises a weight as it is read.
   *
   * @param name for messages
   * @param dtype the weight's own
   */
  public static Quant4Weight quantize(
      String name, Quant4Config config, DType dtype, long out, long in, ElementSource source) {
    try (Quantizer4Bit quantizer = new Quantizer4Bit(name, config, dtype, out, in)) {
      Parallel.forRanges(
          out * in,
          ELEMENTS_A_RANGE,
          (begin, end) -> {
            float[] values = new float[(int) (end - begin)];
            source.read(begin, values, values.length);
            quantizer.accept(begin, values, values.length);
          });
      return new Quant4Weight(quantizer.finish());
    }
  }

  /** A copy on a device. */
  public Quant4Weight to(Device target) {
    return new Quant4Weight(weight.to(target));
  }

  /** The codes and statistics. */
  public Quantized4Bit quantized() {
    return weight;
  }

  @Override
  public long outFeatures() {
    return out;
  }

  @Override
  public long inFeatures() {
    return in;
  }

  @Override
  public Device device() {
    return weight.device();
  }

  @Override
  public long bytes() {
    return weight.bytes();
  }

  @Override
  public String format() {
    String type = weight.config().type().name().toLowerCase(Locale.ROOT);
    return type + (weight.config().doubleQuant() ? " + double quant" : "");
  }

  @Override
  public void writeTo(Tensor destination, long firstRow, Precision precision) {
    if (!weight.device().isCpu()) {
      try (Tensor rows = destination.narrow(0, firstRow, out);
          Tensor columns = rows.narrow(1, 0, in)) {
        weight.dequantize(columns);
      }
      return;
    }
    if (destination.size(1) == in && destination.dtype() == precision.compute()) {
      try (Tensor rows = destination.narrow(0, firstRow, out)) {
        weight.dequantize(rows);
      }
      return;
    }
    // A few rows at a time, so that they are still in the cache when they are put in their place.
    Parallel.forRanges(
        out,
        Rows.grain(in),
        (begin, end) -> {
          try (Tensor plain = Tensor.empty(precision.compute(), end - begin, in);
              Tensor rows = destination.narrow(0, firstRow + begin, end - begin);
              Tensor columns = rows.narrow(1, 0, in)) {
            weight.dequantize(begin * in, plain);
            columns.copyFrom(plain);
          }
        });
  }

  @Override
  public void close() {
    weight.close();
  }
}
