package ai.nibble.optim;

import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;

/**
 * A stretch of the flat parameter buffer with its own rate and decay: matrices decay, norms and
 * biases do not ({@link #decayingMatrices}); a program may also give a part its own rate.
 *
 * @param begin first element
 * @param end one past the last, above {@code begin}
 * @param lrMultiplier factor of the step's learning rate, at least 0
 * @param weightDecay decoupled weight decay, at least 0
 */
public record ParameterRange(int begin, int end, double lrMultiplier, double weightDecay) {
  private static final String MAGNITUDE = ".lora_magnitude_vector";

  public ParameterRange {
    if (begin < 0 || end <= begin) {
      throw new IllegalArgumentException(
          "parameter range [" + begin + ", " + end + "), expected 0 <= begin < end");
    }
    if (!(lrMultiplier >= 0 && lrMultiplier < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "learning-rate multiplier is " + lrMultiplier + ", expected at least 0 and finite");
    }
    if (!(weightDecay >= 0 && weightDecay < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "weight_decay is " + weightDecay + ", expected at least 0 and finite");
    }
  }

  /**
   * Ranges of the step's own rate in which matrices decay and vectors (norms, biases) do not, but
   * for DoRA's magnitudes: what transformers' Trainer does, which tells norms and biases by their
   * names.
   */
  public static List<ParameterRange> decayingMatrices(ParameterSet parameters, double weightDecay) {
    return decayingMatrices(parameters, weightDecay, name -> 1);
  }

  /**
   * The same with a rate of its own for each parameter.
   *
   * @param lrMultiplier factor of the step's learning rate by the parameter's name
   */
  public static List<ParameterRange> decayingMatrices(
      ParameterSet parameters, double weightDecay, ToDoubleFunction<String> lrMultiplier) {
    List<ParameterRange> ranges = new ArrayList<>();
    for (Parameter p : parameters.parameters()) {
      int begin = Math.toIntExact(parameters.offset(p.name()));
      int end = begin + Math.toIntExact(p.value().numel());
      boolean decays = p.value().dim() > 1 || p.name().endsWith(MAGNITUDE);
      double decay = decays ? weightDecay : 0;
      double multiplier = lrMultiplier.applyAsDouble(p.name());
      ParameterRange last = ranges.isEmpty() ? null : ranges.get(ranges.size() - 1);
      if (last != null && last.weightDecay == decay && last.lrMultiplier == multiplier) {
        ranges.set(ranges.size() - 1, new ParameterRange(last.begin, end, multiplier, decay));
      } else {
        ranges.add(new ParameterRange(begin, end, multiplier, decay));
      }
    }
    return ranges;
  }

  /**
   * The range that holds all of a parameter.
   *
   * @throws IllegalArgumentException if none does
   */
  static ParameterRange holding(
      ParameterSet parameters, Parameter parameter, List<ParameterRange> ranges) {
    long begin = parameters.offset(parameter.name());
    long end = begin + parameter.value().numel();
    return ranges.stream()
        .filter(r -> r.begin() <= begin && end <= r.end())
        .findFirst()
        .orElseThrow(
            () -> new IllegalArgumentException("no parameter range holds " + parameter.name()));
  }

  /**
   * Refuses ranges that do not cover a flat buffer from 0 without gap or overlap, in order.
   *
   * @return its length
   */
  static int requireCover(List<ParameterRange> ranges) {
    int covered = 0;
    for (ParameterRange range : ranges) {
      if (range.begin() != covered) {
        throw new IllegalArgumentException(
            "parameter range begins at " + range.begin() + ", expected " + covered);
      }
      covered = range.end();
    }
    return covered;
  }
}
