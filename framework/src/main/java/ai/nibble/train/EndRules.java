package ai.nibble.train;

/**
 * When a run ends before its last step, and which of its steps is the result.
 *
 * @param loadBest the result is the saved step with the lowest evaluation loss, not the last
 * @param earlyStoppingPatience evaluations without a better loss after which it ends; 0: never
 * @param earlyStoppingThreshold what is better: lower by more than this
 */
public record EndRules(boolean loadBest, int earlyStoppingPatience, double earlyStoppingThreshold) {
  /** All steps; the last is the result. */
  public static final EndRules PLAIN = new EndRules(false, 0, 0);

  public EndRules {
    if (earlyStoppingPatience < 0 || !(earlyStoppingThreshold >= 0)) {
      throw new IllegalArgumentException(
          "patience " + earlyStoppingPatience + ", threshold " + earlyStoppingThreshold);
    }
  }
}
