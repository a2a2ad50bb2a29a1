package ai.nibble.train;

/**
 * A run ended early because it was asked to; the last step that it did is in a checkpoint, unless
 * the message says why not.
 */
public final class TrainingInterruptedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  /**
   * @param step optimizer steps done
   * @param total of the whole run
   */
  TrainingInterruptedException(int step, int total) {
    super("stopped after step " + step + " of " + total + ", which is in a checkpoint");
  }

  /**
   * @param step optimizer steps done
   * @param total of the whole run
   * @param unsaved why the step is in no checkpoint, and what is left
   */
  TrainingInterruptedException(int step, int total, String unsaved) {
    super("stopped after step " + step + " of " + total + ": " + unsaved);
  }

  private TrainingInterruptedException(String message) {
    super(message);
  }

  /**
   * Of a run that had trained nothing yet.
   *
   * @param what it was about, such as {@code reading rows}
   */
  public static TrainingInterruptedException before(String what) {
    return new TrainingInterruptedException("stopped while " + what + ", before any step");
  }
}
