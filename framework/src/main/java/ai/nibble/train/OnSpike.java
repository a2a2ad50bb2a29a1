package ai.nibble.train;

/** What a run does with a step whose loss is far above those before it. */
public enum OnSpike {
  OFF,
  /** Says so. */
  WARN,
  /** Does not apply it; too many in a row stop the run. */
  SKIP,
  /** Does not apply it and stops. */
  STOP
}
