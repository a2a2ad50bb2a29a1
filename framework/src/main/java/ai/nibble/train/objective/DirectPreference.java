package ai.nibble.train.objective;

import java.util.Optional;

/**
 * Direct preference optimisation (Rafailov et al. 2023): the log-ratio of the trained model to the
 * reference is to be larger for the chosen answer than for the rejected one. With {@code δ} the
 * difference of the two log-ratios:
 *
 * <ul>
 *   <li>{@code sigmoid}: {@code −log σ(βδ)}; with label smoothing ε {@code −(1 − ε)·log σ(βδ) −
 *       ε·log σ(−βδ)} (Mitchell 2023)
 *   <li>{@code robust}: {@code (−(1 − ε)·log σ(βδ) + ε·log σ(−βδ)) / (1 − 2ε)}, unbiased where a
 *       share ε of the labels is wrong (Chowdhury et al. 2024)
 *   <li>{@code hinge}: {@code max(0, 1 − βδ)} (Zhao et al. 2023, "SLiC-HF")
 *   <li>{@code ipo}: {@code (δ' − 1/(2β))²}, δ' of log-ratios divided by the answers' tokens (Azar
 *       et al. 2023, eq. 17, normalised as TRL does it)
 * </ul>
 *
 * <p>An answer's reward is β times its log-ratio.
 */
public final class DirectPreference extends PairObjective {
  private final LossType type;
  private final double beta;
  private final double smoothing;

  /** The form of the loss. */
  public enum LossType {
    SIGMOID,
    HINGE,
    IPO,
    ROBUST
  }

  /**
   * @param beta how strongly the model is held to the reference, above 0
   * @param smoothing share of labels that are taken to be wrong, in [0, 0.5): of {@code sigmoid}
   *     and {@code robust}
   * @param entropy the chosen answers' cross-entropy beside it (Pang et al. 2024, "RPO")
   */
  public DirectPreference(
      LossType type, double beta, double smoothing, Reference reference, ChosenEntropy entropy) {
    super(Optional.of(reference), entropy);
    if (!(beta > 0) || !(smoothing >= 0 && smoothing < 0.5)) {
      throw new IllegalArgumentException("beta " + beta + ", label smoothing " + smoothing);
    }
    this.type = type;
    this.beta = beta;
    this.smoothing = smoothing;
  }

  @Override
  Term term(Pair pair) {
    double chosen = beta * pair.chosenRatio();
    double rejected = beta * pair.rejectedRatio();
    double margin = chosen - rejected;
    return switch (type) {
      case SIGMOID -> ofMargin(Logistic.ofMargin(margin, smoothing), chosen, rejected);
      case ROBUST -> ofMargin(robust(margin), chosen, rejected);
      case HINGE -> {
        double missing = Math.max(0, 1 - margin);
        yield ofMargin(new Logistic.Loss(missing, missing > 0 ? -1 : 0), chosen, rejected);
      }
      case IPO -> {
        int m = pair.chosenTokens();
        int n = pair.rejectedTokens();
        double off = pair.chosenRatio() / m - pair.rejectedRatio() / n - 1 / (2 * beta);
        yield new Term(off * off, 2 * off / m, -2 * off / n, chosen, rejected);
      }
    };
  }

  private Term ofMargin(Logistic.Loss loss, double chosen, double rejected) {
    double slope = beta * loss.slope();
    return new Term(loss.value(), slope, -slope, chosen, rejected);
  }

  private Logistic.Loss robust(double margin) {
    double clean = 1 - smoothing;
    double share = clean - smoothing;
    double value =
        (-clean * Logistic.logSigmoid(margin) + smoothing * Logistic.logSigmoid(-margin)) / share;
    double slope =
        (-clean * Logistic.sigmoid(-margin) - smoothing * Logistic.sigmoid(margin)) / share;
    return new Logistic.Loss(value, slope);
  }
}
