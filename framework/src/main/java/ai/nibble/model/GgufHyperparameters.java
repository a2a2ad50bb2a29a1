package ai.nibble.model;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;

/**
 * What a GGUF file says of a model's shape and constants, by key under llama.cpp's name of its
 * architecture: the one table that files are checked by when read and written by when exported.
 *
 * <p>Source: {@code gguf-py/gguf/constants.py} and {@code convert_hf_to_gguf.py}.
 */
public final class GgufHyperparameters {
  /** Divisors of the rotary frequencies, {@code [headDim / 2]}: Llama 3's scaling. */
  public static final String ROPE_FREQS = "rope_freqs.weight";

  private static final String ROPE_FACTORS_LONG = "rope_factors_long.weight";
  private static final String ROPE_FACTORS_SHORT = "rope_factors_short.weight";
  private static final Set<String> ROPE_TENSORS =
      Set.of(ROPE_FREQS, ROPE_FACTORS_LONG, ROPE_FACTORS_SHORT);

  private static final double DEFAULT_BETA_FAST = 32;
  private static final double DEFAULT_BETA_SLOW = 1;

  private GgufHyperparameters() {}

  /** llama.cpp's name of the architecture, and the prefix of its keys. */
  public static String architecture(ModelConfig config) {
    return config.architecture().gguf().name();
  }

  /** Key: tokens of context; a file may say another number and compute the same. */
  public static String contextLength(ModelConfig config) {
    return key(config, "context_length");
  }

  /** Key: base of the rotary frequencies; 10000 where a file does not say. */
  public static String ropeFreqBase(ModelConfig config) {
    return key(config, "rope.freq_base");
  }

  /**
   * Key: {@code none}, {@code linear}, {@code yarn} or {@code longrope}; Llama 3's scaling is a
   * tensor.
   */
  public static String ropeScalingTypeKey(ModelConfig config) {
    return key(config, "rope.scaling.type");
  }

  private static String key(ModelConfig config, String name) {
    return architecture(config) + "." + name;
  }

  /** The integers, all but {@link #contextLength} and those of the rope scaling. */
  public static Map<String, Integer> integers(ModelConfig config) {
    Map<String, Integer> values = new LinkedHashMap<>();
    put(values, config, "block_count", config.numHiddenLayers());
    put(values, config, "embedding_length", config.hiddenSize());
    put(values, config, "feed_forward_length", config.intermediateSize());
    put(values, config, "attention.head_count", config.numAttentionHeads());
    put(values, config, "attention.head_count_kv", config.numKeyValueHeads());
    put(values, config, "vocab_size", config.vocabSize());
    put(values, config, "rope.dimension_count", config.rotaryDim());
    put(values, config, "attention.key_length", config.headDim());
    put(values, config, "attention.value_length", config.headDim());
    config
        .form()
        .slidingWindow()
        .ifPresent(window -> put(values, config, GgufFields.SLIDING_WINDOW, window));
    config
        .architecture()
        .ggufIntegers(config)
        .forEach((name, value) -> put(values, config, name, value));
    return values;
  }

  /**
   * Which layers slide, where llama.cpp does not know it by the architecture: it reads nothing of
   * this; a file that comes alone is whole by it.
   */
  public static Map<String, List<Boolean>> flags(ModelConfig config) {
    List<Boolean> sliding =
        config.form().layers().stream().map(layer -> layer.slidingWindow().isPresent()).toList();
    boolean some = sliding.contains(true) && sliding.contains(false);
    return some && !config.architecture().slidesInGguf()
        ? Map.of(key(config, GgufFields.SLIDING_PATTERN), sliding)
        : Map.of();
  }

  /** The numbers, all but {@link #ropeFreqBase} and those of the rope scaling. */
  public static Map<String, Double> numbers(ModelConfig config) {
    Map<String, Double> values = new LinkedHashMap<>();
    values.put(key(config, "attention.layer_norm_rms_epsilon"), config.rmsNormEps());
    config
        .architecture()
        .ggufNumbers(config)
        .forEach((name, value) -> values.put(key(config, name), value));
    return values;
  }

  /** The value of {@link #ropeScalingTypeKey}. */
  public static String ropeScalingType(ModelConfig config) {
    if (config.ropeScaling() instanceof RopeScaling.Linear) {
      return "linear";
    }
    if (config.ropeScaling() instanceof RopeScaling.LongRope) {
      return "longrope";
    }
    return config.ropeScaling() instanceof RopeScaling.Yarn ? "yarn" : "none";
  }

  /** The numbers of a rope scaling that has a type of its own; else none. */
  public static Map<String, Double> ropeScalingNumbers(ModelConfig config) {
    String key = key(config, "rope.scaling.factor");
    if (config.ropeScaling() instanceof RopeScaling.Linear linear) {
      return Map.of(key, linear.factor());
    }
    if (config.ropeScaling() instanceof RopeScaling.LongRope s) {
      return Map.of(key(config, "rope.scaling.attn_factor"), s.attentionFactor());
    }
    return config.ropeScaling() instanceof RopeScaling.Yarn yarn
        ? Map.of(key, yarn.factor())
        : Map.of();
  }

  /** The integers of such a rope scaling. */
  public static Map<String, Integer> ropeScalingIntegers(ModelConfig config) {
    String original = key(config, "rope.scaling.original_context_length");
    if (config.ropeScaling() instanceof RopeScaling.LongRope s) {
      return Map.of(original, s.originalMaxPositionEmbeddings());
    }
    return config.ropeScaling() instanceof RopeScaling.Yarn yarn
        ? Map.of(original, yarn.originalMaxPositionEmbeddings())
        : Map.of();
  }

  /**
   * Tensors that say what positions are divided by, float32 {@code [rotaryDim / 2]} each: Llama 3's
   * scaling, LongRoPE's factors. They follow from the configuration.
   */
  public static Map<String, float[]> ropeTensors(ModelConfig config) {
    Map<String, float[]> tensors = new LinkedHashMap<>();
    if (config.ropeScaling() instanceof RopeScaling.Llama3) {
      tensors.put(ROPE_FREQS, RotaryFrequencies.divisors(config));
    } else if (config.ropeScaling() instanceof RopeScaling.LongRope s) {
      tensors.put(ROPE_FACTORS_LONG, floats(s.longFactor()));
      tensors.put(ROPE_FACTORS_SHORT, floats(s.shortFactor()));
    }
    return tensors;
  }

  /** Whether a tensor of a file is one of {@link #ropeTensors}. */
  static boolean isRopeTensor(String name) {
    return ROPE_TENSORS.contains(name);
  }

  private static float[] floats(List<Double> values) {
    float[] floats = new float[values.size()];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = values.get(i).floatValue();
    }
    return floats;
  }

  /** What of the model a file cannot say to llama.cpp; empty where it says all. */
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
    if (config.ropeScaling() instanceof RopeScaling.Llama3
        && !config.architecture().gguf().readsDivisors()) {
      return Optional.of(
          "llama.cpp reads the llama3 scaling of the rotary frequencies for the architecture"
              + " 'llama' alone, this is '"
              + architecture(config)
              + "'");
    }
    Optional<String> ofFamily = config.architecture().inexpressible(config);
    if (ofFamily.isPresent()) {
      return ofFamily;
    }
    return rotatesElsewhere(config)
        ? Optional.of(
            "the layers that do not rotate positions are others than llama.cpp takes for granted,"
                + " every "
                + SmolLm3.INTERVAL
                + "th of SmolLM 3")
        : Optional.empty();
  }

  /** llama.cpp knows by the architecture alone which layers rotate. */
  private static boolean rotatesElsewhere(ModelConfig config) {
    boolean all = !(config.architecture() instanceof SmolLm3);
    for (int i = 0; i < config.numHiddenLayers(); i++) {
      boolean rotates = all || (i + 1) % SmolLm3.INTERVAL != 0;
      if (config.form().layers().get(i).rotary() != rotates) {
        return true;
      }
    }
    return false;
  }

  /**
   * What of the model llama.cpp leaves out although a file can be written: a line for people, empty
   * where it computes the same.
   */
  public static Optional<String> leftOut(ModelConfig config) {
    OptionalInt window = config.form().slidingWindow();
    if (config.architecture().slidesInGguf()) {
      return Optional.empty();
    }
    return window.isPresent() && window.getAsInt() < config.maxPositionEmbeddings()
        ? Optional.of(
            "llama.cpp's architecture '%s' has no sliding window: beyond %d tokens it attends to"
                    .formatted(architecture(config), window.getAsInt())
                + " more of a text than the model was trained with")
        : Optional.empty();
  }

  private static void put(Map<String, Integer> values, ModelConfig config, String name, int value) {
    values.put(key(config, name), value);
  }
}
