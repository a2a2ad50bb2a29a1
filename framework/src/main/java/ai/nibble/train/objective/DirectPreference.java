package ai.nibble.train.objective;

import java.util.List;
import java.util.Optional;

/**
 * Direct preference optimisation (Rafailov et al. 2023): the log-ratio of the trained model to the
 * reference is to be larger for the chosen answer than for the rejected one, by one of the forms of
 * {@link DirectLoss} or a weighted sum of several (Wang et al. 2024, "MPO").
 *
 * <p>An answer's reward is β times its log-ratio.
 */
public final class DirectPreference extends PairObjective {
  private final Terms terms;

  /**
   * A form of the loss.
   *
   * @param weight what it is multiplied by
   */
  public record Weighted(DirectLoss loss, double weight) {}

  /**
   * The loss of a pair.
   *
   * @param losses summed up; none where only the chosen answers' cross-entropy is trained
   * @param divergence what holds the model to the reference
   * @param alpha α of {@link FDivergence#ALPHA_DIVERGENCE}
   */
  public record Terms(
      List<Weighted> losses, DirectLoss.Constants constants, FDivergence divergence, double alpha) {
    public Terms {
      losses = List.copyOf(losses);
      for (Weighted each : losses) {
        if (each.loss().needsSmoothing() && constants.labelSmoothing() == 0) {
          throw new IllegalArgumentException(each.loss() + " without label smoothing");
        }
        if (divergence != FDivergence.REVERSE_KL && !each.loss().isOfDifference()) {
          throw new IllegalArgumentException(each.loss() + " with " + divergence);
        }
      }
    }
  }

  /**
   * @param entropy the chosen answers' cross-entropy beside it (Pang et al. 2024, "RPO")
   */
  public DirectPreference(Terms terms, Reference reference, ChosenEntropy entropy) {
    super(Optional.of(reference), entropy);
    this.terms = terms;
  }

  /**
   * One form by itself, with the usual divergence.
   *
   * @param beta how strongly the model is held to the reference, above 0
   * @param smoothing share of labels that are taken to be wrong, in [0, 0.5)
   */
  public DirectPreference(
      DirectLoss loss, double beta, double smoothing, Reference reference, ChosenEntropy entropy) {
    this(
        new Terms(
            List.of(new Weighted(loss, 1)),
            new DirectLoss.Constants(beta, smoothing),
            FDivergence.REVERSE_KL,
            FDivergence.ALPHA),
        reference,
        entropy);
  }

  @Override
  Term term(Pair pair) {
    Logistic.Point chosen = terms.divergence().score(pair.chosenRatio(), terms.alpha());
    Logistic.Point rejected = terms.divergence().score(pair.rejectedRatio(), terms.alpha());
    DirectLoss.Scores scores =
        new DirectLoss.Scores(
            chosen.value(), rejected.value(), pair.chosenTokens(), pair.rejectedTokens());
    double loss = 0;
    double byChosen = 0;
    double byRejected = 0;
    for (Weighted each : terms.losses()) {
      DirectLoss.Slopes slopes = each.loss().of(scores, terms.constants());
      loss += each.weight() * slopes.value();
      byChosen += each.weight() * slopes.byChosen();
      byRejected += each.weight() * slopes.byRejected();
    }
    double beta = terms.constants().beta();
    return new Term(
        loss,
        byChosen * chosen.slope(),
        byRejected * rejected.slope(),
        beta * pair.chosenRatio(),
        beta * pair.rejectedRatio());
  }
}
