package ai.nibble.model;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;

/**
 * Llama 3's scaling of the rotary frequencies, out of the divisors that a GGUF file has in its
 * place: the largest divisor is its factor, and those between 1 and the factor tell the length that
 * the model was trained with before it was stretched. {@code low_freq_factor} and {@code
 * high_freq_factor} are 1 and 4, as of every such model.
 */
final class GgufDivisors {
  private static final double LOW_FREQ_FACTOR = 1;
  private static final double HIGH_FREQ_FACTOR = 4;

  /** Of Llama 3.1 to 3.3. */
  private static final int USUAL_LENGTH = 8192;

  /** The converter computes with other roundings. */
  private static final float TOLERANCE = 1e-4f;

  private final float[] divisors;
  private final int rotaryDim;
  private final double theta;
  private final float factor;

  private GgufDivisors(float[] divisors, double theta) {
    this.divisors = divisors;
    this.rotaryDim = 2 * divisors.length;
    this.theta = theta;
    float largest = 1;
    for (float divisor : divisors) {
      largest = Math.max(largest, divisor);
    }
    this.factor = largest;
  }

  /**
   * {@code rope_scaling}; empty where nothing is divided.
   *
   * @throws ai.nibble.InvalidInputException if the divisors are of another kind
   */
  static Optional<ObjectNode> scaling(GgufFields file, ObjectNode json) {
    String tensor = GgufHyperparameters.ROPE_FREQS;
    float[] stored = file.values(tensor, ModelConfig.MAX_HEAD_DIM / 2);
    GgufDivisors divisors = new GgufDivisors(stored, file.real("rope.freq_base", 10_000));
    if (divisors.fit(1, USUAL_LENGTH)) {
      return Optional.empty();
    }
    for (int length : new int[] {USUAL_LENGTH, divisors.length()}) {
      if (divisors.fit(divisors.factor, length)) {
        return Optional.of(
            json.put("rope_type", "llama3")
                .put("factor", GgufFields.decimal(divisors.factor))
                .put("low_freq_factor", LOW_FREQ_FACTOR)
                .put("high_freq_factor", HIGH_FREQ_FACTOR)
                .put("original_max_position_embeddings", length));
      }
    }
    throw file.badTensor(
        tensor,
        "holds divisors of the rotary frequencies that are not of Llama 3's scaling with"
            + " low_freq_factor 1 and high_freq_factor 4: put the original model's config.json and"
            + " tokenizer.json beside the file");
  }

  private boolean fit(float by, int length) {
    RopeScaling scaling =
        new RopeScaling.Llama3(by, LOW_FREQ_FACTOR, HIGH_FREQ_FACTOR, Math.max(1, length));
    float[] expected = RotaryFrequencies.divisors(rotaryDim, theta, scaling);
    for (int j = 0; j < divisors.length; j++) {
      if (!(Math.abs(divisors[j] - expected[j]) <= TOLERANCE * expected[j])) {
        return false;
      }
    }
    return true;
  }

  /**
   * The length that the divisors between 1 and the factor imply: of a wavelength {@code w} that is
   * {@code 1 / d = (1 - s) / factor + s} with {@code s = (length / w - 1) / (4 - 1)}. Where there
   * are none, lengths between the last wavelength that is kept and the first that is divided as a
   * whole all come to the same.
   */
  private int length() {
    List<Double> implied = new ArrayList<>();
    double least = 1;
    double most = Integer.MAX_VALUE;
    for (int j = 0; j < divisors.length; j++) {
      double smooth = (1.0 / divisors[j] - 1.0 / factor) / (1 - 1.0 / factor);
      double wavelength = 2 * Math.PI * Math.pow(theta, 2.0 * j / rotaryDim);
      if (smooth >= 1 - TOLERANCE) {
        least = Math.max(least, HIGH_FREQ_FACTOR * wavelength);
      } else if (smooth <= TOLERANCE) {
        most = Math.min(most, LOW_FREQ_FACTOR * wavelength);
      } else {
        implied.add(wavelength * (LOW_FREQ_FACTOR + smooth * (HIGH_FREQ_FACTOR - LOW_FREQ_FACTOR)));
      }
    }
    if (implied.isEmpty()) {
      int power = Integer.highestOneBit((int) most);
      return power > least ? power : (int) ((least + most) / 2);
    }
    Collections.sort(implied);
    return (int) Math.round(implied.get(implied.size() / 2));
  }
}
