package ai.nibble.model;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;

/**
 * How the rotary frequencies are stretched beyond the length a model was first trained for.
 *
 * <p>The names in {@code config.json} are {@code default}, {@code linear}, {@code llama3}, {@code
 * yarn} and {@code longrope}; {@link RotaryFrequencies} holds the arithmetic. Every record refuses
 * values for which that arithmetic has no finite answer.
 */
public sealed interface RopeScaling {

  /** The value of {@code rope_type} in {@code config.json}. */
  String ropeType();

  /** Plain rotary embedding, RoFormer (arXiv 2104.09864). */
  record Default() implements RopeScaling {
    @Override
    public String ropeType() {
      return "default";
    }
  }

  /**
   * Position interpolation (arXiv 2306.15595): every frequency divided by the factor.
   *
   * @param factor above 0; 2 doubles the context length
   */
  record Linear(double factor) implements RopeScaling {
    public Linear {
      List<String> problems = new ArrayList<>();
      positive("factor", factor, problems);
      refuse(problems);
    }

    @Override
    public String ropeType() {
      return "linear";
    }
  }

  /**
   * Llama 3.1: long wavelengths divided by the factor, short ones kept, a ramp in between.
   *
   * @param factor above 0
   * @param lowFreqFactor above 0; wavelengths above {@code original / low} are divided
   * @param highFreqFactor above {@code lowFreqFactor}; wavelengths below {@code original / high}
   *     are kept
   * @param originalMaxPositionEmbeddings tokens of context before stretching, at least 1
   */
  record Llama3(
      double factor, double lowFreqFactor, double highFreqFactor, int originalMaxPositionEmbeddings)
      implements RopeScaling {
    public Llama3 {
      List<String> problems = new ArrayList<>();
      positive("factor", factor, problems);
      positive("low_freq_factor", lowFreqFactor, problems);
      positive("high_freq_factor", highFreqFactor, problems);
      if (highFreqFactor <= lowFreqFactor) {
        problems.add(
            "'high_freq_factor' is "
                + highFreqFactor
                + ", expected more than 'low_freq_factor', which is "
                + lowFreqFactor);
      }
      originalLength(originalMaxPositionEmbeddings, problems);
      refuse(problems);
    }

    @Override
    public String ropeType() {
      return "llama3";
    }
  }

  /**
   * YaRN (arXiv 2309.00071): dimensions that turn often are kept, those that turn rarely are
   * divided by the factor, a linear ramp in between; cosine and sine are scaled as well.
   *
   * @param factor above 0
   * @param attentionFactor scale of cosine and sine, above 0; empty computes it from the factor and
   *     the two mscales
   * @param betaFast turns over the original length at which the ramp starts, above 0, usually 32
   * @param betaSlow turns over the original length at which the ramp ends, above 0, usually 1
   * @param mscale numerator's slope, 0 for none; counts only where both mscales are non-zero
   * @param mscaleAllDim denominator's slope, 0 for none
   * @param originalMaxPositionEmbeddings tokens of context before stretching, at least 1
   * @param truncate whether the ramp's ends are widened to whole dimensions
   */
  record Yarn(
      double factor,
      OptionalDouble attentionFactor,
      double betaFast,
      double betaSlow,
      double mscale,
      double mscaleAllDim,
      int originalMaxPositionEmbeddings,
      boolean truncate)
      implements RopeScaling {
    public Yarn {
      List<String> problems = new ArrayList<>();
      positive("factor", factor, problems);
      attentionFactor.ifPresent(value -> positive("attention_factor", value, problems));
      positive("beta_fast", betaFast, problems);
      positive("beta_slow", betaSlow, problems);
      if (betaFast < betaSlow) {
        problems.add(
            "'beta_fast' is " + betaFast + ", expected at least 'beta_slow', which is " + betaSlow);
      }
      notNegative("mscale", mscale, problems);
      notNegative("mscale_all_dim", mscaleAllDim, problems);
      originalLength(originalMaxPositionEmbeddings, problems);
      refuse(problems);
    }

    @Override
    public String ropeType() {
      return "yarn";
    }
  }

  /**
   * LongRoPE (arXiv 2402.13753): every frequency divided by a factor of its own, those of sequences
   * beyond the original length by others; cosine and sine are scaled as well.
   *
   * @param shortFactor of sequences up to the original length, one a pair of rotated elements
   * @param longFactor of longer ones
   * @param attentionFactor scale of cosine and sine, above 0
   * @param originalMaxPositionEmbeddings tokens of context before stretching, at least 1
   */
  record LongRope(
      List<Double> shortFactor,
      List<Double> longFactor,
      double attentionFactor,
      int originalMaxPositionEmbeddings)
      implements RopeScaling {
    public LongRope {
      List<String> problems = new ArrayList<>();
      shortFactor = List.copyOf(shortFactor);
      longFactor = List.copyOf(longFactor);
      shortFactor.forEach(value -> positive("short_factor", value, problems));
      longFactor.forEach(value -> positive("long_factor", value, problems));
      positive("attention_factor", attentionFactor, problems);
      originalLength(originalMaxPositionEmbeddings, problems);
      refuse(problems);
    }

    /** Whether a sequence of so many tokens has the factors of longer ones. */
    boolean isLong(int tokens) {
      return tokens > originalMaxPositionEmbeddings;
    }

    /**
     * With the attention factor that the paper suggests.
     *
     * @param factor by which the context is longer
     */
    static LongRope suggested(
        List<Double> shortFactor, List<Double> longFactor, double factor, int original) {
      double attention = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
      return new LongRope(shortFactor, longFactor, attention, original);
    }

    @Override
    public String ropeType() {
      return "longrope";
    }
  }

  private static void positive(String key, double value, List<String> problems) {
    // The arithmetic is float32: what it rounds to zero or infinity is refused as well.
    if (!((float) value > 0) || Float.isInfinite((float) value)) {
      problems.add("'" + key + "' is " + value + ", expected a finite number above 0");
    }
  }

  private static void notNegative(String key, double value, List<String> problems) {
    if (!(value >= 0) || Float.isInfinite((float) value)) {
      problems.add("'" + key + "' is " + value + ", expected a finite number of at least 0");
    }
  }

  private static void originalLength(int value, List<String> problems) {
    if (value < 1) {
      problems.add("'original_max_position_embeddings' is " + value + ", expected at least 1");
    }
  }

  private static void refuse(List<String> problems) {
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }
}
