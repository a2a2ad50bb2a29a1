package ai.nibble.train.objective;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.data.Batch;
import ai.nibble.data.Example.Kind;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Mean;
import ai.nibble.nn.Pass;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;

/**
 * An objective on pairs of answers: the mean of a loss of each pair's log-probabilities and, where
 * wanted, the cross-entropy of the chosen answers beside it.
 *
 * <p>The loss of pairs is the mean over all pairs of the optimizer step. The cross-entropy is the
 * mean over a micro-batch's tokens, and these means are averaged by their pairs, as TRL does it.
 */
abstract class PairObjective implements Objective {
  private final Optional<Reference> reference;
  private final ChosenEntropy entropy;

  /**
   * What the objective looks at.
   *
   * @param chosen log-probability of the chosen answer in nats, summed over its tokens
   * @param rejected the same of the rejected answer
   * @param chosenTokens tokens of the chosen answer, at least 1
   * @param rejectedTokens tokens of the rejected answer, at least 1
   * @param referenceChosen as {@code chosen}, by the reference; 0 without one
   * @param referenceRejected as {@code rejected}, by the reference; 0 without one
   */
  record Pair(
      double chosen,
      double rejected,
      int chosenTokens,
      int rejectedTokens,
      double referenceChosen,
      double referenceRejected) {
    double chosenRatio() {
      return chosen - referenceChosen;
    }

    double rejectedRatio() {
      return rejected - referenceRejected;
    }

    double chosenMean() {
      return chosen / chosenTokens;
    }

    double rejectedMean() {
      return rejected / rejectedTokens;
    }
  }

  /**
   * What a pair comes to.
   *
   * @param byChosen the loss's derivative by {@link Pair#chosen}
   * @param byRejected the same by {@link Pair#rejected}
   * @param chosenReward what the objective takes the chosen answer to be worth
   * @param rejectedReward the same of the rejected one
   */
  record Term(
      double loss,
      double byChosen,
      double byRejected,
      double chosenReward,
      double rejectedReward) {}

  PairObjective(Optional<Reference> reference, ChosenEntropy entropy) {
    this.reference = reference;
    this.entropy = entropy;
  }

  /** The loss of one pair. */
  abstract Term term(Pair pair);

  @Override
  public double weight(Batch batch) {
    return batch.rows();
  }

  @Override
  public CausalLm.Loss loss(
      Tape tape,
      CausalLm model,
      Batch batch,
      Pass pass,
      double normalizer,
      Checkpointing checkpointing) {
    if (batch.kinds().stream().anyMatch(kind -> kind != Kind.PAIR)) {
      throw new IllegalArgumentException("rows are " + batch.kinds() + ", expected pairs");
    }
    // first, while nothing is kept for backward
    double[] first =
        reference.map(r -> r.logProbs(model, batch)).orElse(new double[batch.sequences()]);
    AnswerTokens tokens = new AnswerTokens(batch, entropy.weight() > 0 && entropy.prompts());
    Sum sum = new Sum(tokens, first);
    try (Variable hidden = model.hidden(tape, batch.inputIds(), pass, checkpointing);
        Variable logProbs =
            model.logProbs(tape, hidden, pass, tokens.positions(), tokens.targets())) {
      HostLoss loss = new HostLoss((values, gradient) -> sum.of(values, gradient, normalizer));
      Variable value = tape.apply(loss, logProbs);
      return new CausalLm.Loss(value, () -> sum.total, sum.measures);
    }
  }

  /** The sum over a micro-batch. */
  private final class Sum {
    private final AnswerTokens tokens;
    private final double[] first;
    private final Map<String, Mean> measures = new LinkedHashMap<>();
    private double total;

    Sum(AnswerTokens tokens, double[] first) {
      this.tokens = tokens;
      this.first = first;
    }

    /** The loss divided by the normaliser, and its gradient. */
    double of(float[] logProbs, double[] gradient, double normalizer) {
      double[] sums = tokens.sums(logProbs);
      double[] slopes = new double[sums.length];
      for (int s = 0; s < sums.length; s += 2) {
        Term term =
            term(
                new Pair(
                    sums[s],
                    sums[s + 1],
                    tokens.answerTokens(s),
                    tokens.answerTokens(s + 1),
                    first[s],
                    first[s + 1]));
        total += term.loss();
        slopes[s] = term.byChosen();
        slopes[s + 1] = term.byRejected();
        note(term, sums[s], sums[s + 1]);
      }
      for (int i = 0; i < gradient.length; i++) {
        gradient[i] = tokens.isAnswer(i) ? slopes[tokens.sequence(i)] / normalizer : 0;
      }
      if (entropy.weight() > 0) {
        addEntropy(logProbs, gradient, normalizer, sums.length / 2);
      }
      return total / normalizer;
    }

    private void addEntropy(float[] logProbs, double[] gradient, double normalizer, int pairs) {
      double nats = 0;
      int count = 0;
      for (int i = 0; i < logProbs.length; i++) {
        nats -= isLearned(i) ? logProbs[i] : 0;
        count += isLearned(i) ? 1 : 0;
      }
      double scale = entropy.weight() * pairs / count;
      for (int i = 0; i < logProbs.length; i++) {
        gradient[i] -= isLearned(i) ? scale / normalizer : 0;
      }
      total += scale * nats;
      add("nll_loss", new Mean(nats, count));
    }

    private boolean isLearned(int token) {
      return tokens.sequence(token) % 2 == 0;
    }

    private void note(Term term, double chosen, double rejected) {
      add("rewards/chosen", Mean.of(term.chosenReward()));
      add("rewards/rejected", Mean.of(term.rejectedReward()));
      boolean right = term.chosenReward() > term.rejectedReward();
      add("rewards/accuracies", Mean.of(right ? 1 : 0));
      add("rewards/margins", Mean.of(term.chosenReward() - term.rejectedReward()));
      add("logps/chosen", Mean.of(chosen));
      add("logps/rejected", Mean.of(rejected));
    }

    private void add(String name, Mean mean) {
      measures.merge(name, mean, Mean::plus);
    }
  }
}
