package ai.nibble.export.merge;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Current;
import ai.nibble.model.WeightSource;
import ai.nibble.model.WeightView;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.quant.ElementSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.quant.QuantizedMatrix;
import ai.nibble.tensor.DType;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A base's weights with the values that a loaded model computes with: linears quantised and
 * dequantised to float32, where training held them so; all others rounded to the dtype they are
 * held in.
 */
final class HeldWeights extends WeightView {
  private final Optional<QuantConfig> quantization;
  private final Set<String> quantized;
  private final Current<QuantizedMatrix> current = new Current<>(this::quantize);

  /**
   * @param base stays the caller's
   * @param quantization of the linears; empty for none
   */
  HeldWeights(WeightSource base, Optional<QuantConfig> quantization) {
    super(base);
    this.quantization = quantization;
    this.quantized =
        quantization.isEmpty()
            ? Set.of()
            : CausalLm.linearPaths(base.config()).stream()
                .filter(quantization.get()::quantizes)
                .map(path -> path + ".weight")
                .collect(Collectors.toUnmodifiableSet());
  }

  private QuantizedMatrix quantize(String name) {
    long[] shape = base.shape(name);
    ElementSource values = (first, into, count) -> base.readHeld(name, first, into, 0, count);
    QuantConfig config = quantization.orElseThrow();
    if (config instanceof Quant4Config c) {
      DType dtype = base.heldDtype(name);
      return Quant4Weight.quantize(name, c, dtype, shape[0], shape[1], values).quantized();
    }
    return Quantized8Bit.quantize(name, shape[0], shape[1], values);
  }

  @Override
  public DType dtype(String name) {
    return heldDtype(name);
  }

  @Override
  public DType heldDtype(String name) {
    return quantized.contains(name) ? DType.FLOAT32 : base.heldDtype(name);
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    if (!quantized.contains(name)) {
      base.readHeld(name, firstElement, out, offset, count);
      return;
    }
    current.use(name, held -> held.read(firstElement, out, offset, count));
  }

  @Override
  public void close() {
    current.close();
  }
}
