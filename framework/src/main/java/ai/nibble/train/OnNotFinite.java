package ai.nibble.train;

/** What a run does with a step whose loss or gradients are not finite. It is never applied. */
public enum OnNotFinite {
  /** Goes on with the next step's rows; too many in a row stop the run. */
  SKIP,
  /** Stops at the first. */
  STOP
}
