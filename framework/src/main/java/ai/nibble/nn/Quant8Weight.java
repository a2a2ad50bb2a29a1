package ai.nibble.nn;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.ElementSource;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;

/**
 * A weight held in 8 bits, whose product in forward is LLM.int8()'s ({@link Int8Product}); backward
 * dequantises it. Takes over what it is made of.
 */
public final class Quant8Weight implements Weight {
  /** What a GPU's int8 product wants sizes to be multiples of. */
  private static final int DEVICE_MULTIPLE = 8;

  private final Quantized8Bit weight;
  private final float threshold;

  /**
   * @param threshold magnitude from which an activation is an outlier; 0: none is
   */
  public Quant8Weight(Quantized8Bit weight, double threshold) {
    this.weight = weight;
    this.threshold = (float) threshold;
  }

  /** Quantises a weight as it is read. */
  public static Quant8Weight quantize(
      String name, Quant8Config config, long out, long in, ElementSource source) {
    return new Quant8Weight(Quantized8Bit.quantize(name, out, in, source), config.threshold());
  }

  /**
   * A copy on a device.
   *
   * @throws InvalidInputException if the device does not multiply a weight of this size
   */
  public Quant8Weight to(Device target) {
    boolean fits =
        weight.outFeatures() % DEVICE_MULTIPLE == 0 && weight.inFeatures() % DEVICE_MULTIPLE == 0;
    if (!target.isCpu() && !fits) {
      throw new InvalidInputException(
          "weight '"
              + weight.name()
              + "' is ["
              + weight.outFeatures()
              + ", "
              + weight.inFeatures()
              + "], expected multiples of "
              + DEVICE_MULTIPLE
              + " for int8 products on "
              + target
              + ": leave it out with llm_int8_skip_modules, or compute on the CPU");
    }
    return new Quant8Weight(weight.to(target), threshold);
  }

  /** The codes and scales. */
  public Quantized8Bit quantized() {
    return weight;
  }

  /** Magnitude from which an activation is an outlier; 0: none is. */
  float threshold() {
    return threshold;
  }

  @Override
  public long outFeatures() {
    return weight.outFeatures();
  }

  @Override
  public long inFeatures() {
    return weight.inFeatures();
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
    return "int8";
  }

  @Override
  public void writeTo(Tensor destination, long firstRow, Precision precision) {
    weight.dequantize(destination, firstRow, precision.compute());
  }

  @Override
  public void close() {
    weight.close();
  }
}
