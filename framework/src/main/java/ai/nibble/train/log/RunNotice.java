package ai.nibble.train.log;

import java.util.Locale;

/**
 * Something about a run's course that a person should know.
 *
 * @param step that it is about
 * @param text one line, the step named
 */
public record RunNotice(int step, Kind kind, String text) {
  /** What it is about. */
  public enum Kind {
    /** A loss or gradient that is not finite. */
    NOT_FINITE,
    /** A loss or gradient far above those before it. */
    SPIKE,
    /** A loss above the recipe's limit. */
    HIGH_LOSS,
    /** Gradients beyond float16's range, which the next step scales less. */
    LOSS_SCALE,
    /** A loss that no longer falls. */
    PLATEAU,
    /** The run ends before its last step. */
    EARLY_STOP,
    /** Which step the result is. */
    BEST,
    /** The output directory. */
    OUTPUT;

    /** As logs spell it. */
    public String word() {
      return name().toLowerCase(Locale.ROOT);
    }
  }
}
