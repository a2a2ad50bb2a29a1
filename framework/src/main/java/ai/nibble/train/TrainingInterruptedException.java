package ai.nibble.train;

/** A run ended early because it was asked to; its last step is in a checkpoint. */
public final class TrainingInterruptedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param step optimizer steps done
   * @param total of the whole run
   */
  TrainingInterruptedException(int step, int total) {
    super("stopped after step " + step + " of " + total + ", which is in a checkpoint");
  }
}
