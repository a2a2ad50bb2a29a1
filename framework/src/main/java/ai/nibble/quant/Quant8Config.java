package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import java.util.List;

/**
 * How weights are held in 8 bits, and multiplied by: LLM.int8() (Dettmers et al. 2022).
 *
 * @param threshold magnitude from which an activation is an outlier, whose column is multiplied in
 *     the compute dtype; 0: none is
 * @param skipModules modules that stay as stored
 */
public record Quant8Config(double threshold, SkipModules skipModules) implements QuantConfig {
  /** The threshold of the paper and of bitsandbytes. */
  public static final double THRESHOLD = 6;

  /**
   * @throws InvalidInputException where the threshold is negative or no number
   */
  public Quant8Config {
    if (!(threshold >= 0) || Double.isInfinite(threshold)) {
      throw new InvalidInputException(
          "int8 outlier threshold is "
              + threshold
              + ", expected a number from 0 (no outliers): "
              + THRESHOLD
              + " is the usual one");
    }
  }

  /** Without the modules of some names. */
  public Quant8Config(double threshold, List<String> skipModules) {
    this(threshold, new SkipModules(skipModules));
  }

  /** All linears, outliers from {@link #THRESHOLD} on. */
  public Quant8Config() {
    this(THRESHOLD, SkipModules.NONE);
  }

  @Override
  public String description() {
    return "int8, " + (threshold > 0 ? "outliers from " + threshold : "no outliers") + skipModules;
  }
}
