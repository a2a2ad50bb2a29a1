package ai.nibble.train;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Trainable;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.train.objective.SupervisedFineTuning;

/** The step that most tests train by: answers, AdamW as it is by default. */
final class PlainSteps {
  private PlainSteps() {}

  /**
   * @param weightDecay of matrices
   * @param maxNorm see {@link TrainStep}
   */
  static TrainStep of(
      CausalLm model,
      Trainable trained,
      double weightDecay,
      double maxNorm,
      Checkpointing checkpointing) {
    return new TrainStep(
        model,
        trained,
        new SupervisedFineTuning(),
        AdamW.over(
            trained.parameters(),
            AdamWConfig.DEFAULT,
            ParameterRange.decayingMatrices(trained.parameters(), weightDecay)),
        maxNorm,
        checkpointing);
  }
}
