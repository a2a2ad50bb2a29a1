package ai.nibble.export.merge;

import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.quant.Quant4Config;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * A base's weights with the values that a loaded model computes with: linears quantised to 4 bits
 * and dequantised to float32, where training held them so; all others rounded to the dtype they are
 * held in.
 */
final class HeldWeights extends WeightView {
  private final Optional<Quant4Config> quantization;
  private final Set<String> quantized;
  private final Current<Quant4Weight> current = new Current<>(this::quantize);

  /**
   * @param base stays the caller's
   * @param quantization of the linears; empty for none
   */
  HeldWeights(WeightSource base, Optional<Quant4Config> quantization) {
    super(base);
    this.quantization = quantization;
    this.quantized =
        quantization.isEmpty()
            ? Set.of()
            : CausalLm.linearPaths(base.config()).stream()
                .map(path -> path + ".weight")
                .collect(Collectors.toUnmodifiableSet());
  }

  private Quant4Weight quantize(String name) {
    long[] shape = base.shape(name);
    return Quant4Weight.quantize(
        name,
        quantization.orElseThrow(),
        base.heldDtype(name),
        shape[0],
        shape[1],
        (first, values, count) -> base.readHeld(name, first, values, 0, count));
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
    current.use(
        name,
        weight -> {
          try (Tensor values = Tensor.empty(DType.FLOAT32, count)) {
            weight.quantized().dequantize(firstElement, values);
            values.floats().get(0, out, offset, count);
          }
        });
  }

  @Override
  public void close() {
    current.close();
  }
}
