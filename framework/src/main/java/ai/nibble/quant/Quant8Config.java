package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import java.util.List;

/**
 * How weights are held in 8 bits, and multiplied by: LLM.int8() (Dettmers et al. 2022).
 *
 * @param threshold magnitude from which an activation is an outlier, whose column is multiplied in
 *     the compute dtype; 0: none is
 * @param skipModules modules that stay as stored: runs of names in a linear's path, such as {@code
 *     down_proj} or {@code layers.0.mlp}
 */
public record Quant8Config(double threshold, List<String> skipModules) implements QuantConfig {
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
    skipModules = List.copyOf(skipModules);
  }

  /** All linears, outliers from {@link #THRESHOLD} on. */
  public Quant8Config() {
    this(THRESHOLD, List.of());
  }

  @Override
  public boolean quantizes(String module) {
    return skipModules.stream().noneMatch(name -> names(name, module));
  }

  /** Whether a name of {@link #skipModules} means a module. */
  private static boolean names(String skipped, String module) {
    return ("." + module + ".").contains("." + skipped + ".");
  }

  /**
   * Checks that every name of {@link #skipModules} means a module. The output head, which is never
   * quantised, may be named all the same, as in transformers.
   *
   * @param linears paths of all linears
   * @throws InvalidInputException with the name that means none
   */
  public void requireModulesAmong(List<String> linears) {
    for (String name : skipModules) {
      if (!name.equals("lm_head") && linears.stream().noneMatch(path -> names(name, path))) {
        throw new InvalidInputException(
            "llm_int8_skip_modules: no module is named '"
                + name
                + "', expected names such as down_proj or layers.0");
      }
    }
  }

  @Override
  public String description() {
    return "int8, "
        + (threshold > 0 ? "outliers from " + threshold : "no outliers")
        + (skipModules.isEmpty() ? "" : ", without " + skipModules);
  }
}
