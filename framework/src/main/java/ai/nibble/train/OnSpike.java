package ai.nibble.train;

/**
 * What a run does with a step whose loss is far above those before it. One whose gradients alone
 * are is told of unless {@link #OFF}, and applied.
 */
public enum OnSpike {
  /** Does not look for any. */
  OFF,
  /** Says so. */
  WARN,
  /** Does not apply it; too many in a row stop the run. */
  SKIP,
  /** Does not apply it and stops. */
  STOP
}
