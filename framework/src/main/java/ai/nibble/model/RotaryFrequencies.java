package ai.nibble.model;

import java.util.List;
import java.util.Optional;

/**
 * The inverse frequencies of the rotary embedding and the factor on its cosine and sine.
 *
 * <p>Dimension pair {@code j} at position {@code p} turns by {@code p * inverseFrequencies[j]}
 * radians; cosine and sine are multiplied by the attention scaling. The arithmetic follows
 * transformers 5.23 ({@code modeling_rope_utils}) operation by operation in float32, because
 * position 100,000 multiplies every rounding of a frequency by 100,000. The one step that may
 * differ is the power: here it is rounded correctly, in PyTorch within one unit in the last place.
 */
public final class RotaryFrequencies {
  private final float[] inverseFrequencies;
  private final float attentionScaling;
  private final Optional<float[]> longFrequencies;

  private RotaryFrequencies(float[] inverseFrequencies, double attentionScaling) {
    this(inverseFrequencies, attentionScaling, Optional.empty());
  }

  private RotaryFrequencies(
      float[] inverseFrequencies, double attentionScaling, Optional<float[]> longFrequencies) {
    this.inverseFrequencies = inverseFrequencies;
    this.attentionScaling = (float) attentionScaling;
    this.longFrequencies = longFrequencies;
  }

  /** The frequencies of a model's {@code rotaryDim}, {@code ropeTheta} and {@code ropeScaling}. */
  public static RotaryFrequencies of(ModelConfig config) {
    return of(config.rotaryDim(), config.ropeTheta(), config.ropeScaling());
  }

  /**
   * @param headDim even
   * @param theta the base wavelength, above 0
   */
  static RotaryFrequencies of(int headDim, double theta, RopeScaling scaling) {
    // Java 17 has no switch over sealed types yet.
    if (scaling instanceof RopeScaling.Linear linear) {
      return new RotaryFrequencies(linear(inverses(headDim, theta), linear.factor()), 1);
    }
    if (scaling instanceof RopeScaling.Llama3 llama3) {
      return new RotaryFrequencies(llama3(inverses(headDim, theta), llama3), 1);
    }
    if (scaling instanceof RopeScaling.Yarn yarn) {
      return new RotaryFrequencies(yarn(headDim, theta, yarn), attentionFactor(yarn));
    }
    if (scaling instanceof RopeScaling.LongRope longRope) {
      return new RotaryFrequencies(
          stretched(headDim, theta, longRope.shortFactor()),
          longRope.attentionFactor(),
          Optional.of(stretched(headDim, theta, longRope.longFactor())));
    }
    return new RotaryFrequencies(inverses(headDim, theta), 1);
  }

  /**
   * By how much a model's scaling divides the plain frequencies, {@code [headDim / 2]}: what a GGUF
   * file stores of Llama 3's. Where Llama 3 keeps or divides a frequency as a whole this is exactly
   * 1 or the factor, as in llama.cpp's converter.
   */
  public static float[] divisors(ModelConfig config) {
    return divisors(config.rotaryDim(), config.ropeTheta(), config.ropeScaling());
  }

  /** The same of any elements, base and scaling. */
  static float[] divisors(int headDim, double theta, RopeScaling scaling) {
    float[] plain = inverses(headDim, theta);
    float[] scaled = of(headDim, theta, scaling).inverseFrequencies;
    for (int j = 0; j < plain.length; j++) {
      boolean whole =
          scaling instanceof RopeScaling.Llama3 s && plain[j] / (float) s.factor() == scaled[j];
      plain[j] = whole ? (float) ((RopeScaling.Llama3) scaling).factor() : plain[j] / scaled[j];
    }
    return plain;
  }

  /** Radians a position, {@code [headDim / 2]}; a copy. */
  public float[] inverseFrequencies() {
    return inverseFrequencies.clone();
  }

  /** Of sequences beyond the original length, where theirs are others; a copy. */
  public Optional<float[]> longFrequencies() {
    return longFrequencies.map(float[]::clone);
  }

  /** The factor on cosine and sine; 1 for all but YaRN and LongRoPE. */
  public float attentionScaling() {
    return attentionScaling;
  }

  /** {@code theta ^ (2j / headDim)}, the exponent and the result in float32. */
  private static float[] powers(int headDim, double theta) {
    float[] powers = new float[headDim / 2];
    for (int j = 0; j < powers.length; j++) {
      float exponent = (float) (2 * j) / (float) headDim;
      powers[j] = (float) Math.pow((float) theta, exponent);
    }
    return powers;
  }

  private static float[] inverses(int headDim, double theta) {
    float[] inverses = powers(headDim, theta);
    for (int j = 0; j < inverses.length; j++) {
      inverses[j] = 1f / inverses[j];
    }
    return inverses;
  }

  private static float[] stretched(int headDim, double theta, List<Double> factors) {
    float[] powers = powers(headDim, theta);
    for (int j = 0; j < powers.length; j++) {
      powers[j] = 1f / (factors.get(j).floatValue() * powers[j]);
    }
    return powers;
  }

  private static float[] linear(float[] inverses, double factor) {
    for (int j = 0; j < inverses.length; j++) {
      inverses[j] /= (float) factor;
    }
    return inverses;
  }

  private static float[] llama3(float[] inverses, RopeScaling.Llama3 s) {
    double original = s.originalMaxPositionEmbeddings();
    float longest = (float) (original / s.lowFreqFactor());
    float shortest = (float) (original / s.highFreqFactor());
    float factor = (float) s.factor();
    float low = (float) s.lowFreqFactor();
    float width = (float) (s.highFreqFactor() - s.lowFreqFactor());
    for (int j = 0; j < inverses.length; j++) {
      float inverse = inverses[j];
      // PyTorch computes scalar / tensor as reciprocal times scalar.
      float wavelength = (1f / inverse) * (float) (2 * Math.PI);
      if (wavelength > longest) {
        inverses[j] = inverse / factor;
      } else if (wavelength >= shortest) {
        float smooth = ((1f / wavelength) * (float) original - low) / width;
        inverses[j] = (1f - smooth) * inverse / factor + smooth * inverse;
      }
    }
    return inverses;
  }

  private static float[] yarn(int headDim, double theta, RopeScaling.Yarn s) {
    double low = turningDimension(s.betaFast(), headDim, theta, s);
    double high = turningDimension(s.betaSlow(), headDim, theta, s);
    if (s.truncate()) {
      low = Math.floor(low);
      high = Math.ceil(high);
    }
    low = Math.max(low, 0);
    high = Math.min(high, headDim - 1);
    if (low == high) {
      high += 0.001; // a ramp of no width would divide by zero
    }
    float[] frequencies = powers(headDim, theta);
    for (int j = 0; j < frequencies.length; j++) {
      float power = frequencies[j];
      float ramp = clamp((j - (float) low) / (float) (high - low));
      float kept = 1f - ramp;
      float interpolated = 1f / ((float) s.factor() * power);
      frequencies[j] = interpolated * (1f - kept) + (1f / power) * kept;
    }
    return frequencies;
  }

  /** The (fractional) dimension pair that turns so often over the original length. */
  private static double turningDimension(
      double turns, int headDim, double theta, RopeScaling.Yarn s) {
    double ratio = s.originalMaxPositionEmbeddings() / (turns * 2 * Math.PI);
    return headDim * Math.log(ratio) / (2 * Math.log(theta));
  }

  private static float clamp(float x) {
    return Math.min(Math.max(x, 0f), 1f);
  }

  private static double attentionFactor(RopeScaling.Yarn s) {
    if (s.attentionFactor().isPresent()) {
      return s.attentionFactor().getAsDouble();
    }
    if (s.mscale() != 0 && s.mscaleAllDim() != 0) {
      return mscale(s.factor(), s.mscale()) / mscale(s.factor(), s.mscaleAllDim());
    }
    return mscale(s.factor(), 1);
  }

  private static double mscale(double factor, double slope) {
    return factor <= 1 ? 1 : 0.1 * slope * Math.log(factor) + 1;
  }
}
