package ai.nibble.train;

/** A run that cannot go on: its message names the step, what was seen, and what is left. */
public final class TrainingStoppedException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  public TrainingStoppedException(String message) {
    super(message);
  }

  public TrainingStoppedException(String message, Throwable cause) {
    super(message, cause);
  }
}
