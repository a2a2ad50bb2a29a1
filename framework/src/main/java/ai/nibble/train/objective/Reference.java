package ai.nibble.train.objective;

import ai.nibble.data.Batch;
import ai.nibble.lora.FrozenAdapter;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.nn.Pass;

/** What preferences are measured against: the base, or the model that training began with. */
public interface Reference {
  /**
   * What it thinks of answers.
   *
   * @param model that is trained
   * @return log-probabilities of each sequence's tokens with loss in nats, summed: {@code
   *     [sequences]}
   */
  double[] logProbs(CausalLm model, Batch batch);

  /**
   * The trained model without its adapter: no second model is in memory, and until the adapter has
   * learned something the two agree to the bit.
   */
  static Reference adapterOff(LoraAdapter adapter) {
    return (model, batch) -> adapter.muted(() -> logProbsOf(model, batch));
  }

  /**
   * The trained model with its adapter as it was when it was copied: no second model is in memory,
   * and until the adapter has learned something more the two agree to the bit, without dropout.
   */
  static Reference asItWas(FrozenAdapter copy) {
    return (model, batch) -> copy.instead(() -> logProbsOf(model, batch));
  }

  /** Another model; the caller's to close. */
  static Reference of(CausalLm other) {
    return (model, batch) -> logProbsOf(other, batch);
  }

  /** What the rows know of it already: {@link ReferenceRows}. */
  static Reference ofRows() {
    return (model, batch) -> {
      if (batch.reference().length == 0) {
        throw new IllegalStateException("these rows know nothing of a reference");
      }
      return batch.reference();
    };
  }

  /** What a model thinks of answers as it is. */
  static double[] logProbsOf(CausalLm model, Batch batch) {
    AnswerTokens tokens = new AnswerTokens(batch, false);
    if (tokens.count() == 0) {
      return new double[batch.sequences()];
    }
    Pass pass = Pass.evaluating(batch.sequenceStarts());
    double[] wide =
        model.logLikelihoods(batch.inputIds(), pass, tokens.positions(), tokens.targets());
    float[] logProbs = new float[wide.length]; // as they were
    for (int i = 0; i < wide.length; i++) {
      logProbs[i] = (float) wide[i];
    }
    return tokens.sums(logProbs);
  }
}
