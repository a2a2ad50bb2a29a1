package ai.nibble.train.objective;

import java.util.Optional;

/**
 * Contrastive preference optimisation (Xu et al. 2024): {@code −log σ(β·(chosen − rejected))} of
 * the answers' log-probabilities, and the chosen answers' cross-entropy. Needs no reference. An
 * answer's reward is β times its log-probability.
 */
public final class ContrastivePreference extends PairObjective {
  private final double beta;
  private final double smoothing;

  /**
   * @param beta scale of the rewards, above 0
   * @param smoothing share of labels that are taken to be wrong, in [0, 0.5)
   * @param entropy the chosen answers' cross-entropy; the paper's weighs 1
   */
  public ContrastivePreference(double beta, double smoothing, ChosenEntropy entropy) {
    super(Optional.empty(), entropy);
    if (!(beta > 0) || !(smoothing >= 0 && smoothing < 0.5)) {
      throw new IllegalArgumentException("beta " + beta + ", label smoothing " + smoothing);
    }
    this.beta = beta;
    this.smoothing = smoothing;
  }

  @Override
  Term term(Pair pair) {
    double chosen = beta * pair.chosen();
    double rejected = beta * pair.rejected();
    Logistic.Point loss = Logistic.ofMargin(chosen - rejected, smoothing);
    double slope = beta * loss.slope();
    return new Term(loss.value(), slope, -slope, chosen, rejected);
  }
}
