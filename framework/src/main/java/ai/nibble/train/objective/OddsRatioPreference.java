package ai.nibble.train.objective;

import java.util.Optional;

/**
 * Odds ratio preference optimisation (Hong et al. 2024): the chosen answers' cross-entropy, and
 * {@code −β·log σ(log odds(chosen) − log odds(rejected))} with {@code odds = p/(1 − p)} and p an
 * answer's mean probability a token, {@code exp(log-probability/tokens)}. Needs no reference.
 *
 * <p>An answer's reward is β times its mean log-probability.
 */
public final class OddsRatioPreference extends PairObjective {
  /**
   * Nearest that a mean log-probability comes to 0 where its odds are taken: float32 ends there.
   */
  private static final double CERTAIN = -0x1p-24;

  private final double beta;

  /**
   * @param beta what the odds ratio weighs beside the cross-entropy, above 0; λ in the paper
   * @param prompts whether the cross-entropy is of the prompts, too, as TRL has it
   */
  public OddsRatioPreference(double beta, boolean prompts) {
    super(Optional.empty(), new ChosenEntropy(1, prompts));
    if (!(beta > 0)) {
      throw new IllegalArgumentException("beta " + beta);
    }
    this.beta = beta;
  }

  @Override
  Term term(Pair pair) {
    double chosen = Math.min(pair.chosenMean(), CERTAIN);
    double rejected = Math.min(pair.rejectedMean(), CERTAIN);
    double odds = chosen - rejected - (Logistic.log1mExp(chosen) - Logistic.log1mExp(rejected));
    double slope = -beta * Logistic.sigmoid(-odds);
    return new Term(
        -beta * Logistic.logSigmoid(odds),
        slope / -Math.expm1(chosen) / pair.chosenTokens(),
        -slope / -Math.expm1(rejected) / pair.rejectedTokens(),
        beta * pair.chosenMean(),
        beta * pair.rejectedMean());
  }
}
