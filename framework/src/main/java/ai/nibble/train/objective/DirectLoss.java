package ai.nibble.train.objective;

/**
 * The forms of {@link DirectPreference}'s loss. With x and y the scores of the chosen and of the
 * rejected answer (their log-ratios to the reference in nats, or what {@link FDivergence} makes of
 * them), m and n how many tokens they have, and {@code δ = x − y}:
 */
public enum DirectLoss {
  /**
   * {@code −log σ(βδ)} (Rafailov et al. 2023); with label smoothing ε {@code −(1 − ε)·log σ(βδ) −
   * ε·log σ(−βδ)} (Mitchell 2023).
   */
  SIGMOID(Kind.SMOOTHED, onMargin((margin, c) -> Logistic.ofMargin(margin, c.labelSmoothing()))),

  /** {@code max(0, 1 − βδ)} (Zhao et al. 2023, "SLiC-HF"). */
  HINGE(Kind.OF_DIFFERENCE, onMargin((margin, c) -> hinge(margin))),

  /**
   * {@code (x/m − y/n − 1/(2β))²} (Azar et al. 2023, eq. 17, of means a token as TRL has it after
   * asking the authors).
   */
  IPO(Kind.OF_DIFFERENCE, onMeans((difference, c) -> square(difference - 1 / (2 * c.beta())))),

  /**
   * {@code (−(1 − ε)·log σ(βδ) + ε·log σ(−βδ)) / (1 − 2ε)}, unbiased where a share ε of the labels
   * is wrong (Chowdhury et al. 2024).
   */
  ROBUST(Kind.SMOOTHED, onMargin((margin, c) -> robust(margin, c.labelSmoothing()))),

  /**
   * {@code σ(βδ)·log(σ(βδ)/(1 − ε)) + σ(−βδ)·log(σ(−βδ)/ε)}: the divergence of what the model
   * prefers from the labels (Ji et al. 2024, "EXO", eq. 16 of two answers). ε is above 0.
   */
  EXO_PAIR(Kind.SMOOTHED, onMargin((margin, c) -> exact(margin, c.labelSmoothing()))),

  /**
   * {@code −log σ(βx) − ½·log σ(−βx) − ½·log σ(−βy)} (Chen et al. 2024, "NCA" of two answers): each
   * answer by itself, so that the chosen one does not become less likely.
   */
  NCA_PAIR(
      Kind.OF_EACH,
      (s, c) -> {
        double a = c.beta() * s.chosen();
        double b = c.beta() * s.rejected();
        return new Slopes(
            -Logistic.logSigmoid(a) - (Logistic.logSigmoid(-a) + Logistic.logSigmoid(-b)) / 2,
            c.beta() * (Logistic.sigmoid(a) / 2 - Logistic.sigmoid(-a)),
            c.beta() * Logistic.sigmoid(b) / 2);
      }),

  /**
   * {@code −log σ(βx) − log σ(−βy)}: a classifier of good and bad answers (Jung et al. 2024, "BCO"
   * without its shift of rewards, as TRL has it for pairs).
   */
  BCO_PAIR(
      Kind.OF_EACH,
      (s, c) -> {
        double a = c.beta() * s.chosen();
        double b = c.beta() * s.rejected();
        return new Slopes(
            -Logistic.logSigmoid(a) - Logistic.logSigmoid(-b),
            -c.beta() * Logistic.sigmoid(-a),
            c.beta() * Logistic.sigmoid(b));
      }),

  /**
   * {@code (x − 1/(2β))² + (y + 1/(2β))²} (Wu et al. 2024, "SPPO", eq. 4.7 with the labels taken as
   * certain).
   */
  SPPO_HARD(
      Kind.OF_EACH,
      (s, c) -> {
        double a = s.chosen() - 1 / (2 * c.beta());
        double b = s.rejected() + 1 / (2 * c.beta());
        return new Slopes(a * a + b * b, 2 * a, 2 * b);
      }),

  /**
   * {@code 1 − σ(βx) + σ(βy)} (D'Oosterlinck et al. 2024, eq. 7): for answers that are better than
   * the model's own.
   */
  APO_ZERO(
      Kind.OF_EACH,
      (s, c) -> {
        double a = c.beta() * s.chosen();
        double b = c.beta() * s.rejected();
        return new Slopes(
            Logistic.sigmoid(-a) + Logistic.sigmoid(b),
            -c.beta() * Logistic.slope(a),
            c.beta() * Logistic.slope(b));
      }),

  /**
   * {@code σ(βx) + 1 − σ(βδ)} (D'Oosterlinck et al. 2024, eq. 8): for answers that are worse than
   * the model's own, the chosen ones too.
   */
  APO_DOWN(
      Kind.OF_EACH,
      (s, c) -> {
        double a = c.beta() * s.chosen();
        double margin = c.beta() * (s.chosen() - s.rejected());
        double parting = c.beta() * Logistic.slope(margin);
        return new Slopes(
            Logistic.sigmoid(a) + Logistic.sigmoid(-margin),
            c.beta() * Logistic.slope(a) - parting,
            parting);
      }),

  /**
   * {@code −log σ(βδ)·(1 − w) + exp(−βδ)·w} with {@code w = σ(βδ/τ)} (Lu et al. 2024, "DiscoPOP",
   * eq. 5).
   */
  DISCOPOP(Kind.OF_DIFFERENCE, onMargin((margin, c) -> discovered(margin, c.discopopTau()))),

  /** {@code −log σ(β·(x/m − y/n))}, smoothed as {@link #SIGMOID}: means a token. */
  SIGMOID_NORM(
      Kind.SMOOTHED,
      onMeans(
          (difference, c) -> {
            Logistic.Point of = Logistic.ofMargin(c.beta() * difference, c.labelSmoothing());
            return new Logistic.Point(of.value(), c.beta() * of.slope());
          }));

  private final Kind kind;
  private final Formula formula;

  private enum Kind {
    /** Of the difference of the scores alone. */
    OF_DIFFERENCE,
    /** Likewise, with label smoothing. */
    SMOOTHED,
    /** Of each score. */
    OF_EACH
  }

  DirectLoss(Kind kind, Formula formula) {
    this.kind = kind;
    this.formula = formula;
  }

  /**
   * What stays the same through a run.
   *
   * @param beta β: how strongly the model is held to the reference, above 0
   * @param labelSmoothing ε: share of labels that are taken to be wrong, in [0, 0.5)
   * @param discopopTau τ, above 0
   */
  public record Constants(double beta, double labelSmoothing, double discopopTau) {
    /** The paper's τ. */
    public static final double DISCOPOP_TAU = 0.05;

    public Constants {
      if (!(beta > 0) || !(labelSmoothing >= 0 && labelSmoothing < 0.5) || !(discopopTau > 0)) {
        throw new IllegalArgumentException(
            "beta " + beta + ", label smoothing " + labelSmoothing + ", tau " + discopopTau);
      }
    }

    /** With the paper's τ. */
    public Constants(double beta, double labelSmoothing) {
      this(beta, labelSmoothing, DISCOPOP_TAU);
    }
  }

  /** Scores of a pair and the tokens of its answers. */
  record Scores(double chosen, double rejected, int chosenTokens, int rejectedTokens) {}

  /** A loss and its derivatives by the two scores. */
  record Slopes(double value, double byChosen, double byRejected) {}

  private interface Formula {
    Slopes of(Scores scores, Constants constants);
  }

  private interface Curve {
    Logistic.Point at(double x, Constants constants);
  }

  /** Whether label smoothing changes it. */
  public boolean isSmoothed() {
    return kind == Kind.SMOOTHED;
  }

  /** Whether it needs a label smoothing above 0. */
  public boolean needsSmoothing() {
    return this == EXO_PAIR;
  }

  /**
   * Whether it is of the difference of the scores alone, which other divergences than the reverse
   * KL divergence ask for (Wang et al. 2024, "f-DPO").
   */
  public boolean isOfDifference() {
    return kind != Kind.OF_EACH;
  }

  Slopes of(Scores scores, Constants constants) {
    return formula.of(scores, constants);
  }

  /**
   * A loss of {@code β·(x − y)}.
   *
   * @param loss its value, and its slope by that
   */
  private static Formula onMargin(Curve loss) {
    return (s, c) -> {
      Logistic.Point of = loss.at(c.beta() * (s.chosen() - s.rejected()), c);
      return new Slopes(of.value(), c.beta() * of.slope(), -c.beta() * of.slope());
    };
  }

  /**
   * A loss of {@code x/m − y/n}.
   *
   * @param loss its value, and its slope by that
   */
  private static Formula onMeans(Curve loss) {
    return (s, c) -> {
      double difference = s.chosen() / s.chosenTokens() - s.rejected() / s.rejectedTokens();
      Logistic.Point of = loss.at(difference, c);
      return new Slopes(
          of.value(), of.slope() / s.chosenTokens(), -of.slope() / s.rejectedTokens());
    };
  }

  private static Logistic.Point hinge(double margin) {
    double missing = Math.max(0, 1 - margin);
    return new Logistic.Point(missing, missing > 0 ? -1 : 0);
  }

  private static Logistic.Point square(double off) {
    return new Logistic.Point(off * off, 2 * off);
  }

  private static Logistic.Point robust(double margin, double smoothing) {
    double clean = 1 - smoothing;
    double share = clean - smoothing;
    return new Logistic.Point(
        (-clean * Logistic.logSigmoid(margin) + smoothing * Logistic.logSigmoid(-margin)) / share,
        (-clean * Logistic.sigmoid(-margin) - smoothing * Logistic.sigmoid(margin)) / share);
  }

  /** Its slope is {@code σ(x)·σ(−x)·(x − log((1 − ε)/ε))}, as {@code log σ(x) − log σ(−x) = x}. */
  private static Logistic.Point exact(double margin, double smoothing) {
    double clean = Math.log1p(-smoothing);
    double flipped = Math.log(smoothing);
    return new Logistic.Point(
        Logistic.sigmoid(margin) * (Logistic.logSigmoid(margin) - clean)
            + Logistic.sigmoid(-margin) * (Logistic.logSigmoid(-margin) - flipped),
        Logistic.slope(margin) * (margin - clean + flipped));
  }

  /**
   * The product {@code exp(−x)·w} by its logarithm: its factors overflow where x is far below 0.
   */
  private static Logistic.Point discovered(double margin, double tau) {
    double w = Logistic.sigmoid(margin / tau);
    double rest = Logistic.sigmoid(-margin / tau);
    double logistic = -Logistic.logSigmoid(margin);
    double exponential = Math.exp(-margin + Logistic.logSigmoid(margin / tau));
    return new Logistic.Point(
        logistic * rest + exponential,
        -Logistic.sigmoid(-margin) * rest
            - logistic * w * rest / tau
            + exponential * (rest / tau - 1));
  }
}
