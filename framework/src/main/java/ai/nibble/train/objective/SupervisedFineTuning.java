package ai.nibble.train.objective;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.data.Batch;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.nn.Pass;

/** Cross-entropy of the tokens that carry loss. */
public final class SupervisedFineTuning implements Objective {
  @Override
  public CausalLm.Loss loss(
      Tape tape,
      CausalLm model,
      Batch batch,
      Pass pass,
      double normalizer,
      Checkpointing checkpointing) {
    try (Variable hidden = model.hidden(tape, batch.inputIds(), pass, checkpointing)) {
      return model.loss(tape, hidden, pass, batch.lossPositions(), batch.targets(), normalizer);
    }
  }
}
