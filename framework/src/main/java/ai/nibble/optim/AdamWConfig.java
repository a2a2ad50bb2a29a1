package ai.nibble.optim;

/**
 * AdamW's constants, named as in PyTorch.
 *
 * @param beta1 decay of the first moment, 0 to below 1
 * @param beta2 decay of the second moment, 0 to below 1
 * @param eps added to the denominator, outside the square root; above 0
 * @param weightDecay decoupled weight decay where no {@link ParameterRange} says otherwise
 */
public record AdamWConfig(double beta1, double beta2, double eps, double weightDecay) {
  /** PyTorch's constants, without decay: 0.9, 0.999, 1e-8, 0. */
  public static final AdamWConfig DEFAULT = new AdamWConfig(0.9, 0.999, 1e-8, 0);

  public AdamWConfig {
    check("adam_beta1", beta1, beta1 >= 0 && beta1 < 1, "0 to below 1");
    check("adam_beta2", beta2, beta2 >= 0 && beta2 < 1, "0 to below 1");
    check("adam_epsilon", eps, eps > 0 && eps < Double.POSITIVE_INFINITY, "above 0");
    check(
        "weight_decay",
        weightDecay,
        weightDecay >= 0 && weightDecay < Double.POSITIVE_INFINITY,
        "at least 0");
  }

  private static void check(String key, double value, boolean valid, String expected) {
    if (!valid) {
      throw new IllegalArgumentException(key + " is " + value + ", expected " + expected);
    }
  }
}
