package ai.nibble.train.objective;

import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.nn.Pass;

/** What a run trains towards: the loss of a micro-batch. */
public interface Objective {
  /**
   * How much a micro-batch counts in the mean over a step or an evaluation: its tokens with loss,
   * unless the objective is one of whole rows.
   */
  default double weight(Batch batch) {
    return batch.lossTokens();
  }

  /**
   * Computes the loss on a tape.
   *
   * @param batch rows of the kind the objective is made for
   * @param pass its sequences and its dropout
   * @param normalizer the {@link #weight} of the whole optimizer step, or of the evaluation's batch
   * @param checkpointing what is computed again in backward instead of kept
   * @return the loss divided by the normaliser, to differentiate, and its undivided sum
   */
  CausalLm.Loss loss(
      Tape tape,
      CausalLm model,
      Batch batch,
      Pass pass,
      double normalizer,
      Checkpointing checkpointing);
}
