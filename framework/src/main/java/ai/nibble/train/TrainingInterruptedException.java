package ai.nibble.train;

import java.nio.file.Path;

/**
 * A run ended early because it was asked to; the last step that it did is in a checkpoint, unless
 * the message says why not.
 */
public final class TrainingInterruptedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final boolean resumable;

  /**
   * @param step optimizer steps done
   * @param total of the whole run
   */
  TrainingInterruptedException(int step, int total) {
    this("stopped after step " + step + " of " + total + ", which is in a checkpoint", true);
  }

  /**
   * @param step optimizer steps done
   * @param total of the whole run
   * @param unsaved why the step is in no checkpoint, and what is left
   */
  TrainingInterruptedException(int step, int total, String unsaved) {
    this("stopped after step " + step + " of " + total + ": " + unsaved, false);
  }

  private TrainingInterruptedException(String message, boolean resumable) {
    super(message);
    this.resumable = resumable;
  }

  /** Whether the newest checkpoint is to be gone on from. */
  public boolean isResumable() {
    return resumable;
  }

  /**
   * Of a run that had trained nothing yet.
   *
   * @param what it was about, such as {@code reading rows}
   */
  public static TrainingInterruptedException before(String what) {
    return new TrainingInterruptedException("stopped while " + what + ", before any step", true);
  }

  /**
   * Of a run that had trained all.
   *
   * @param what it was about
   * @param result where what was trained is
   */
  public static TrainingInterruptedException after(String what, Path result) {
    return new TrainingInterruptedException(
        "stopped while " + what + " after training: what was trained is in " + result, false);
  }
}
