package ai.nibble.model;

import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * What a GGUF file of llama.cpp's architecture {@code llama} says of a model's shape and constants,
 * by key: the one table that files are checked by when read and written by when exported.
 *
 * <p>Source: {@code gguf-py/gguf/constants.py} and {@code convert_hf_to_gguf.py}.
 */
public final class GgufHyperparameters {
  /** llama.cpp's name of the architecture, and the prefix of its keys. */
  public static final String ARCHITECTURE = "llama";

  /** Tokens of context; a file may say another number and compute the same. */
  public static final String CONTEXT_LENGTH = ARCHITECTURE + ".context_length";

  /** Base of the rotary frequencies; 10000 where a file does not say. */
  public static final String ROPE_FREQ_BASE = ARCHITECTURE + ".rope.freq_base";

  /** {@code none}, {@code linear} or {@code yarn}; Llama 3's scaling is a tensor. */
  public static final String ROPE_SCALING_TYPE = ARCHITECTURE + ".rope.scaling.type";

  /** Divisors of the rotary frequencies, {@code [headDim / 2]}: Llama 3's scaling. */
  public static final String ROPE_FREQS = "rope_freqs.weight";

  private static final double DEFAULT_BETA_FAST = 32;
  private static final double DEFAULT_BETA_SLOW = 1;

  private GgufHyperparameters() {}

  /** The integers, all but {@link #CONTEXT_LENGTH} and those of the rope scaling. */
  public static Map<String, Integer> integers(ModelConfig config) {
    Map<String, Integer> values = new LinkedHashMap<>();
    put(values, "block_count", config.numHiddenLayers());
    put(values, "embedding_length", config.hiddenSize());
    put(values, "feed_forward_length", config.intermediateSize());
    put(values, "attention.head_count", config.numAttentionHeads());
    put(values, "attention.head_count_kv", config.numKeyValueHeads());
    put(values, "vocab_size", config.vocabSize());
    put(values, "rope.dimension_count", config.headDim());
    put(values, "attention.key_length", config.headDim());
    put(values, "attention.value_length", config.headDim());
    return values;
  }

  /** The numbers, all but {@link #ROPE_FREQ_BASE} and those of the rope scaling. */
  public static Map<String, Double> numbers(ModelConfig config) {
    return Map.of(ARCHITECTURE + ".attention.layer_norm_rms_epsilon", config.rmsNormEps());
  }

  /** The value of {@link #ROPE_SCALING_TYPE}. */
  public static String ropeScalingType(ModelConfig config) {
    if (config.ropeScaling() instanceof RopeScaling.Linear) {
      return "linear";
    }
    return config.ropeScaling() instanceof RopeScaling.Yarn ? "yarn" : "none";
  }

  /** The numbers of a rope scaling that has a type of its own; else none. */
  public static Map<String, Double> ropeScalingNumbers(ModelConfig config) {
    String key = ARCHITECTURE + ".rope.scaling.factor";
    if (config.ropeScaling() instanceof RopeScaling.Linear linear) {
      return Map.of(key, linear.factor());
    }
    return config.ropeScaling() instanceof RopeScaling.Yarn yarn
        ? Map.of(key, yarn.factor())
        : Map.of();
  }

  /** The integers of such a rope scaling. */
  public static Map<String, Integer> ropeScalingIntegers(ModelConfig config) {
    return config.ropeScaling() instanceof RopeScaling.Yarn yarn
        ? Map.of(
            ARCHITECTURE + ".rope.scaling.original_context_length",
            yarn.originalMaxPositionEmbeddings())
        : Map.of();
  }

  /** What of the rope scaling no key of this table says; empty where they say all. */
  public static Optional<String> inexpressible(ModelConfig config) {
    if (config.ropeScaling() instanceof RopeScaling.Yarn yarn
        && (yarn.attentionFactor().isPresent()
            || yarn.betaFast() != DEFAULT_BETA_FAST
            || yarn.betaSlow() != DEFAULT_BETA_SLOW
            || yarn.mscale() != 0 && yarn.mscaleAllDim() != 0
            || !yarn.truncate())) {
      return Optional.of(
          "the yarn scaling of the rotary frequencies has settings of its own (attention_factor,"
              + " beta_fast, beta_slow, mscale, mscale_all_dim or truncate)");
    }
    return Optional.empty();
  }

  private static void put(Map<String, Integer> values, String name, int value) {
    values.put(ARCHITECTURE + "." + name, value);
  }
}
