package ai.nibble.train.objective;

/** The logistic function and its logarithm, exact where their arguments are large. */
final class Logistic {
  private Logistic() {}

  /** {@code 1/(1 + exp(−x))}. */
  static double sigmoid(double x) {
    double e = Math.exp(-Math.abs(x));
    return x < 0 ? e / (1 + e) : 1 / (1 + e);
  }

  /** {@code log sigmoid(x)}. */
  static double logSigmoid(double x) {
    return Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
  }

  /** {@code log(1 − exp(x))} of a negative number (Mächler 2012, "Accurately computing"). */
  static double log1mExp(double x) {
    return x < -Math.log(2) ? Math.log1p(-Math.exp(x)) : Math.log(-Math.expm1(x));
  }

  /** The derivative of {@code sigmoid(x)}. */
  static double slope(double x) {
    return sigmoid(x) * sigmoid(-x);
  }

  /**
   * A function of one number, there.
   *
   * @param slope its derivative by that number
   */
  record Point(double value, double slope) {}

  /**
   * {@code −(1 − ε)·log sigmoid(x) − ε·log sigmoid(−x)}: what it costs to tell two answers apart by
   * a margin x where a share ε of the labels is wrong (Mitchell 2023, "cDPO").
   */
  static Point ofMargin(double x, double smoothing) {
    return new Point(
        -(1 - smoothing) * logSigmoid(x) - smoothing * logSigmoid(-x),
        smoothing * sigmoid(x) - (1 - smoothing) * sigmoid(-x));
  }
}
