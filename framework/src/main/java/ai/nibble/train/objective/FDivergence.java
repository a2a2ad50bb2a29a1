package ai.nibble.train.objective;

/**
 * Divergences of the trained model from the reference that {@link DirectPreference} may hold it by
 * (Wang et al. 2024, "Beyond reverse KL"). With u the ratio of an answer's probabilities by the two
 * models, each gives a score {@code f′(u)} in place of {@code log u}, but for a constant.
 */
public enum FDivergence {
  /** {@code log u}: what direct preference optimisation is without another. */
  REVERSE_KL {
    @Override
    Logistic.Point score(double logRatio, double alpha) {
      return new Logistic.Point(logRatio, 1);
    }
  },
  /** {@code 1 − 1/u}. */
  FORWARD_KL {
    @Override
    Logistic.Point score(double logRatio, double alpha) {
      return new Logistic.Point(-Math.expm1(-logRatio), Math.exp(-logRatio));
    }
  },
  /** {@code log(2u/(1 + u))}. */
  JS_DIVERGENCE {
    @Override
    Logistic.Point score(double logRatio, double alpha) {
      double score = Math.log(2) + Logistic.logSigmoid(logRatio);
      return new Logistic.Point(score, Logistic.sigmoid(-logRatio));
    }
  },
  /** {@code (u^(α − 1) − 1)/(α − 1)}; {@code log u} where α is 1. */
  ALPHA_DIVERGENCE {
    @Override
    Logistic.Point score(double logRatio, double alpha) {
      double power = alpha - 1;
      if (Math.abs(power) < NEAR_ONE) {
        return REVERSE_KL.score(logRatio, alpha);
      }
      double exponent = power * logRatio;
      boolean within = exponent <= LARGEST_EXPONENT;
      double score = Math.expm1(Math.min(exponent, LARGEST_EXPONENT)) / power;
      return new Logistic.Point(score, within ? Math.exp(exponent) : 0);
    }
  };

  /** TRL's default for α. */
  public static final double ALPHA = 0.5;

  /** How near to 1 α counts as 1, as in TRL. */
  private static final double NEAR_ONE = 1e-6;

  /** Where TRL stops a power of e in float32, beyond which nothing is learned. */
  private static final double LARGEST_EXPONENT = 80;

  /** An answer's score and its derivative by the log-ratio, in nats. */
  abstract Logistic.Point score(double logRatio, double alpha);
}
