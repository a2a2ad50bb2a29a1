package ai.nibble.train.objective;

import java.util.Optional;

/**
 * Simple preference optimisation (Meng et al. 2024): {@code −log σ(β·(chosen − rejected) − γ)} of
 * the answers' mean log-probabilities a token. Needs no reference. An answer's reward is β times
 * its mean.
 */
public final class SimplePreference extends PairObjective {
  private final double beta;
  private final double gamma;
  private final double smoothing;

  /**
   * @param beta scale of the rewards, above 0
   * @param gamma by how much the chosen answer's reward is to be the larger, at least 0
   * @param smoothing share of labels that are taken to be wrong, in [0, 0.5)
   * @param entropy the chosen answers' cross-entropy beside it
   */
  public SimplePreference(double beta, double gamma, double smoothing, ChosenEntropy entropy) {
    super(Optional.empty(), entropy);
    if (!(beta > 0) || !(gamma >= 0) || !(smoothing >= 0 && smoothing < 0.5)) {
      throw new IllegalArgumentException(
          "beta " + beta + ", gamma " + gamma + ", label smoothing " + smoothing);
    }
    this.beta = beta;
    this.gamma = gamma;
    this.smoothing = smoothing;
  }

  @Override
  Term term(Pair pair) {
    double chosen = beta * pair.chosenMean();
    double rejected = beta * pair.rejectedMean();
    Logistic.Point loss = Logistic.ofMargin(chosen - rejected - gamma, smoothing);
    double slope = beta * loss.slope();
    return new Term(
        loss.value(),
        slope / pair.chosenTokens(),
        -slope / pair.rejectedTokens(),
        chosen,
        rejected);
  }
}
