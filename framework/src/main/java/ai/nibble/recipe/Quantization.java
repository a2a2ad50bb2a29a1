package ai.nibble.recipe;

import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import java.util.Optional;

/**
 * How the frozen base is held and what is computed in.
 *
 * @param loadIn4bit whether the base's linear weights are quantised to 4 bits
 * @param blocksize weights that share one scale
 */
public record Quantization(
    @Key(
            value = "load_in_4bit",
            derived = "true with `qlora`, else false",
            doc = "Hold the base's linear weights in 4 bits")
        boolean loadIn4bit,
    @Key(value = "bnb_4bit_quant_type", byDefault = "nf4", doc = "The 4-bit code")
        Quant4Type quantType,
    @Key(
            value = "bnb_4bit_use_double_quant",
            byDefault = "true",
            doc = "Hold the blocks' scales in 8 bits")
        boolean useDoubleQuant,
    @Key(
            value = "bnb_4bit_compute_dtype",
            byDefault = "auto",
            doc =
                "Type of activations and dequantised weights; `auto`: bfloat16 where the device has it",
            means = {
              @Key.Means(value = "bf16|torch\\.bfloat16", as = "bfloat16"),
              @Key.Means(value = "fp32|torch\\.float32|float", as = "float32")
            },
            refuse = {
              @Key.Refuse(
                  value = "float16|fp16|half|torch\\.float16",
                  why =
                      "not for training on a CPU: its gradients leave float16's range (6e-8 to"
                          + " 65504) without loss scaling, and CPUs do not compute it faster; use"
                          + " bfloat16 or float32"),
              @Key.Refuse(
                  value = "(torch\\.)?(u?int\\d+|long|byte|short|char)",
                  why =
                      "an integer type, which cannot hold activations or gradients; use auto,"
                          + " bfloat16 or float32 (the weights are 4-bit by 'load_in_4bit')")
            })
        ComputeDtype computeDtype,
    @Key(
            value = "bnb_4bit_blocksize",
            byDefault = "64",
            choices = {32, 64, 128, 256, 512, 1024, 2048, 4096},
            doc = "Weights that share one scale")
        int blocksize) {

  /** What is computed in; {@code AUTO} is bfloat16 where the device has it, else float32. */
  public enum ComputeDtype {
    AUTO,
    BFLOAT16,
    FLOAT32;

    /** The type; empty: what suits the machine. */
    Optional<DType> type() {
      return switch (this) {
        case AUTO -> Optional.empty();
        case BFLOAT16 -> Optional.of(DType.BFLOAT16);
        case FLOAT32 -> Optional.of(DType.FLOAT32);
      };
    }
  }
}
