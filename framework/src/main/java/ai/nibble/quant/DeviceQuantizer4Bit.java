package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import ai.nibble.cuda.Quantize4Kernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * Quantises a whole weight where it lies, by kernels, to the bits that {@link Quantizer4Bit} gives.
 * Only the absmax values come to the host, to be checked and, for double quantisation, quantised.
 */
final class DeviceQuantizer4Bit {
  private final String name;
  private final Tensor weight;
  private final Quant4Config config;

  private DeviceQuantizer4Bit(String name, Tensor weight, Quant4Config config) {
    this.name = name;
    this.weight = weight;
    this.config = config;
  }

  /**
   * @param weight contiguous, float32, bfloat16 or float16, on a device that kernels run on; stays
   *     the caller's
   * @throws InvalidInputException for another dtype, and for a NaN or infinite value
   */
  static Quantized4Bit quantize(String name, Tensor weight, Quant4Config config) {
    Quantized4Bit.checkDtype(name, weight.dtype());
    Quantized4Bit.numel(name, weight.shape());
    return new DeviceQuantizer4Bit(name, weight, config).quantize();
  }

  private Quantized4Bit quantize() {
    Device device = weight.device();
    long blocks = config.blocks(weight.numel());
    try (Scope scope = new Scope();
        Tensor absmax = Tensor.empty(device, DType.FLOAT32, blocks)) {
      Tensor packed = scope.own(Tensor.empty(device, DType.UINT8, (weight.numel() + 1) / 2, 1));
      Quantize4Kernels.quantize(
          config.type().forKernels(), config.blockSize(), weight, packed, absmax);
      NestedAbsmax nested = null;
      Tensor statistics;
      try (Tensor host = absmax.to(Device.CPU)) {
        checkFinite(host.floats());
        if (config.doubleQuant()) {
          try (Tensor indices = Tensor.empty(DType.UINT8, blocks)) {
            nested = NestedAbsmax.quantize(host.floats(), indices.bytes(0, (int) blocks));
            statistics = scope.own(indices.to(device));
          }
        } else {
          statistics = scope.own(absmax.share());
        }
      }
      Quantized4Bit result =
          new Quantized4Bit(
              name, config, weight.dtype(), weight.shape(), packed, statistics, nested);
      scope.release();
      return result;
    }
  }

  private void checkFinite(FloatBuffer absmax) {
    for (int b = 0; b < absmax.limit(); b++) {
      if (!Float.isFinite(absmax.get(b))) {
        long first = (long) b * config.blockSize();
        throw new InvalidInputException(
            "weight '"
                + name
                + "' "
                + Arrays.toString(weight.shape())
                + " holds a NaN or infinite value among elements "
                + first
                + " to "
                + (Math.min(weight.numel(), first + config.blockSize()) - 1)
                + ", expected finite values: the checkpoint is damaged or was saved after training"
                + " diverged; use an intact one");
      }
    }
  }
}
