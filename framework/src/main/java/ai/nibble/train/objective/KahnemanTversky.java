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
import java.util.OptionalInt;

/**
 * Kahneman-Tversky optimisation (Ethayarajh et al. 2024): answers that are good or bad, each by
 * itself. With r an answer's log-ratio of the trained model to the reference, the loss is {@code
 * λD·(1 − σ(β(r − z)))} of a good answer and {@code λU·(1 − σ(β(z − r)))} of a bad one; the mean
 * over the rows of the optimizer step.
 *
 * <p>z, how far the model is from the reference, is estimated from {@link MismatchedAnswers} of the
 * micro-batch: their mean log-ratio, at least 0. It takes no gradient and, unlike the answers' own
 * pass, no dropout. With z = 0 instead the loss is that of anchored preference optimisation for
 * answers without a partner (D'Oosterlinck et al. 2024, "APO-zero"; TRL's {@code
 * apo_zero_unpaired}), for which a single row will do. An answer's reward is {@code β·r}.
 */
public final class KahnemanTversky implements Objective {
  private final double beta;
  private final double desirableWeight;
  private final double undesirableWeight;
  private final OptionalInt mismatched;
  private final Reference reference;

  /**
   * @param beta how strongly the model is held to the reference, above 0
   * @param desirableWeight λD, above 0
   * @param undesirableWeight λU, above 0
   * @param mismatched most tokens of a mismatched sequence, which is cut to it; empty: z is 0, and
   *     there are none
   * @param reference computed for mismatched answers, too: rows that know theirs do not do then
   */
  public KahnemanTversky(
      double beta,
      double desirableWeight,
      double undesirableWeight,
      OptionalInt mismatched,
      Reference reference) {
    if (!(beta > 0) || !(desirableWeight > 0) || !(undesirableWeight > 0)) {
      throw new IllegalArgumentException(
          "beta " + beta + ", weights " + desirableWeight + " and " + undesirableWeight);
    }
    this.beta = beta;
    this.desirableWeight = desirableWeight;
    this.undesirableWeight = undesirableWeight;
    this.mismatched = mismatched;
    this.reference = reference;
  }

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
    if (batch.kinds().stream().anyMatch(k -> k != Kind.DESIRABLE && k != Kind.UNDESIRABLE)) {
      throw new IllegalArgumentException("rows are " + batch.kinds() + ", expected judged answers");
    }
    // first, while nothing is kept for backward
    double[] first = reference.logProbs(model, batch);
    double distance = mismatched.isPresent() ? distance(model, batch, mismatched.getAsInt()) : 0;
    AnswerTokens tokens = new AnswerTokens(batch, false);
    Sum sum = new Sum(batch, tokens, first, distance);
    try (Variable hidden = model.hidden(tape, batch.inputIds(), pass, checkpointing);
        Variable logProbs =
            model.logProbs(tape, hidden, pass, tokens.positions(), tokens.targets())) {
      HostLoss loss = new HostLoss((values, gradient) -> sum.of(values, gradient, normalizer));
      Variable value = tape.apply(loss, logProbs);
      return new CausalLm.Loss(value, () -> sum.total, sum.measures);
    }
  }

  /** The estimate of z. */
  private double distance(CausalLm model, Batch batch, int sequenceLen) {
    Batch others = MismatchedAnswers.of(batch, sequenceLen);
    double[] now = Reference.logProbsOf(model, others);
    double[] first = reference.logProbs(model, others);
    double ratios = 0;
    for (int s = 0; s < now.length; s++) {
      ratios += now[s] - first[s];
    }
    return Math.max(0, ratios / now.length);
  }

  /** The sum over a micro-batch. */
  private final class Sum {
    private final Batch batch;
    private final AnswerTokens tokens;
    private final double[] first;
    private final double distance;
    private final Map<String, Mean> measures = new LinkedHashMap<>();
    private double total;

    Sum(Batch batch, AnswerTokens tokens, double[] first, double distance) {
      this.batch = batch;
      this.tokens = tokens;
      this.first = first;
      this.distance = distance;
    }

    /** The loss divided by the normaliser, and its gradient. */
    double of(float[] logProbs, double[] gradient, double normalizer) {
      double[] sums = tokens.sums(logProbs);
      double[] slopes = new double[sums.length];
      for (int s = 0; s < sums.length; s++) {
        boolean good = batch.kinds().get(s) == Kind.DESIRABLE;
        double weight = good ? desirableWeight : undesirableWeight;
        double sign = good ? 1 : -1;
        double ratio = sums[s] - first[s];
        double right = Logistic.sigmoid(sign * beta * (ratio - distance));
        total += weight * (1 - right);
        slopes[s] = -sign * weight * beta * right * (1 - right);
        String side = good ? "chosen" : "rejected";
        add("rewards/" + side, beta * ratio);
        add("logps/" + side, sums[s]);
      }
      for (int i = 0; i < gradient.length; i++) {
        gradient[i] = slopes[tokens.sequence(i)] / normalizer;
      }
      if (mismatched.isPresent()) {
        add("kl", distance);
      }
      return total / normalizer;
    }

    private void add(String name, double value) {
      measures.merge(name, Mean.of(value), Mean::plus);
    }
  }
}
