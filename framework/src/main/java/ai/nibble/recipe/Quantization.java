package ai.nibble.recipe;

import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.SkipModules;
import ai.nibble.tensor.DType;
import java.util.List;
import java.util.Optional;

/**
 * How the frozen base is held and what is computed in.
 *
 * @param loadIn4bit whether the base's linear weights are quantised to 4 bits
 * @param blocksize weights that share one scale
 * @param loadIn8bit whether they are quantised to 8 bits instead
 * @param int8Threshold magnitude from which an activation is an outlier; 0: none is
 * @param skipModules modules that are not quantised
 * @param nonFiniteWeights whether weights that are NaN or infinite are taken as they are
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
                "Type of activations and dequantised weights; `auto`: bfloat16 where the device has"
                    + " it; float16 trains with loss scaling",
            means = {
              @Key.Means(value = "bf16|torch\\.bfloat16", as = "bfloat16"),
              @Key.Means(value = "fp16|half|torch\\.float16", as = "float16"),
              @Key.Means(value = "fp32|torch\\.float32|float", as = "float32")
            },
            refuse = {
              @Key.Refuse(
                  value = "(torch\\.)?(u?int\\d+|long|byte|short|char)",
                  why =
                      "an integer type, which cannot hold activations or gradients; use auto,"
                          + " bfloat16, float16 or float32 (the weights are 4-bit by 'load_in_4bit')")
            })
        ComputeDtype computeDtype,
    @Key(
            value = "bnb_4bit_blocksize",
            byDefault = "64",
            choices = {32, 64, 128, 256, 512, 1024, 2048, 4096},
            doc = "Weights that share one scale")
        int blocksize,
    @Key(
            value = "load_in_8bit",
            byDefault = "false",
            doc = "Hold the base's linear weights in 8 bits and multiply by them as LLM.int8()")
        boolean loadIn8bit,
    @Key(
            value = "llm_int8_threshold",
            byDefault = "6.0",
            range = "[0, inf)",
            doc =
                "Magnitude from which an activation is an outlier, whose column is not computed in"
                    + " 8 bits; 0: none is")
        double int8Threshold,
    @Key(
            value = "llm_int8_skip_modules",
            byDefault = "[]",
            doc = "Modules not quantised, to 4 or 8 bits: names such as `down_proj` or `layers.0`")
        List<String> skipModules,
    @Key(
            value = "allow_nonfinite_weights",
            byDefault = "false",
            doc =
                "Take NaN and infinite values of the frozen base as they are, each tensor of them"
                    + " named, instead of refusing it; not in tensors held in 4 or 8 bits")
        boolean nonFiniteWeights) {

  /** How the linears are held; empty: as stored. */
  Optional<QuantConfig> config() {
    if (loadIn8bit) {
      return Optional.of(new Quant8Config(int8Threshold, skipModules));
    }
    return loadIn4bit
        ? Optional.of(
            new Quant4Config(quantType, blocksize, useDoubleQuant, new SkipModules(skipModules)))
        : Optional.empty();
  }

  /** What is computed in; {@code AUTO} is bfloat16 where the device has it, else float32. */
  public enum ComputeDtype {
    AUTO,
    BFLOAT16,
    FLOAT16,
    FLOAT32;

    /** The type; empty: what suits the machine. */
    Optional<DType> type() {
      return switch (this) {
        case AUTO -> Optional.empty();
        case BFLOAT16 -> Optional.of(DType.BFLOAT16);
        case FLOAT16 -> Optional.of(DType.FLOAT16);
        case FLOAT32 -> Optional.of(DType.FLOAT32);
      };
    }
  }
}
