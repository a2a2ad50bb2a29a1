package ai.nibble.train;

import ai.nibble.InvalidInputException;

/**
 * Says what is left of a run that ends before its time.
 *
 * @param watchdog that knows which weights are proven
 * @param folder that knows what was written
 * @param runId of the run's own checkpoints
 */
record BadEnd(LossWatchdog watchdog, RunFolder folder, String runId) {

  /** A step's failure, with what is left and what to do. */
  TrainingStoppedException because(String why, TrainStep.Outcome outcome) {
    String remedy = ". Lower learning_rate, or look at the rows of this step";
    return new TrainingStoppedException(why + "; " + lastGood(outcome) + remedy);
  }

  /** Where an update was not applied, and the weights before it are proven, they are written. */
  private String lastGood(TrainStep.Outcome outcome) {
    if (outcome.applied()) {
      return folder.kept();
    }
    if (watchdog.lastApplied() == 0) {
      return "nothing was learned before it, so nothing was written";
    }
    if (watchdog.isDoubtful()) {
      return unproven();
    }
    try {
      return "the weights of step " + watchdog.lastApplied() + " are in " + folder.saveWeights();
    } catch (InvalidInputException e) {
      return e.getMessage() + "; " + folder.kept();
    }
  }

  /** That the weights are not written, and what there is from before their last update. */
  String unproven() {
    int step = watchdog.lastApplied();
    return "no finite loss was computed with the weights of step "
        + step
        + ", so they are not written; "
        + folder.keptBefore(step, runId);
  }
}
