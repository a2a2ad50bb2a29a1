package ai.nibble.model;

import ai.nibble.nn.Precision;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Torch;
import java.util.Optional;

/**
 * How a base model is held and computed.
 *
 * @param quantization of the linears' weights; empty to hold them as they were stored. Embeddings,
 *     norms and the output head are never quantised
 * @param computeDtype of activations and of weights as they are used: float32 or bfloat16
 * @param trained whether the weights themselves are trained: they are held in float32 then, in one
 *     {@link ai.nibble.nn.ParameterSet}, and cannot be quantised
 */
public record LoadOptions(
    Optional<Quant4Config> quantization, DType computeDtype, boolean trained) {
  public LoadOptions {
    if (trained && quantization.isPresent()) {
      throw new IllegalArgumentException("quantised weights cannot be trained");
    }
  }

  /** Frozen weights. */
  public LoadOptions(Optional<Quant4Config> quantization, DType computeDtype) {
    this(quantization, computeDtype, false);
  }

  /** NF4 with double quantisation, blocks of 64, the compute dtype that suits this machine. */
  public static LoadOptions nf4() {
    return new LoadOptions(
        Optional.of(new Quant4Config(Quant4Type.NF4, 64, true)), autoComputeDtype());
  }

  /** Weights as they were stored. */
  public static LoadOptions unquantized(DType computeDtype) {
    return new LoadOptions(Optional.empty(), computeDtype);
  }

  /** All weights to be trained. */
  public static LoadOptions trained(DType computeDtype) {
    return new LoadOptions(Optional.empty(), computeDtype, true);
  }

  /** bfloat16 where the device multiplies it fast, else float32. */
  public static DType autoComputeDtype() {
    return Torch.multipliesBfloat16() ? DType.BFLOAT16 : DType.FLOAT32;
  }

  /** One line that says which dtype {@link #autoComputeDtype} picked, and why. */
  public static String autoReason() {
    return Torch.multipliesBfloat16()
        ? "compute dtype bfloat16: this CPU multiplies it (AMX or AVX512-BF16)"
        : "compute dtype float32: this CPU has no bfloat16 instructions (AMX or AVX512-BF16)";
  }

  Precision precision() {
    return Precision.of(computeDtype);
  }
}
