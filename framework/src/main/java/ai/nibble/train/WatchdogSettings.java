package ai.nibble.train;

/**
 * What a run takes for a loss that something is wrong with.
 *
 * @param onSpike what to do where the loss is above {@code spikeFactor} times the running median
 * @param spikeFactor above 1
 * @param threshold a loss above it is broken, whatever it was before; infinite: none is
 * @param patience broken steps in a row after which the run stops, at least 1
 * @param plateauSteps steps that are compared with as many before them; 0: none
 */
public record WatchdogSettings(
    OnNotFinite onNotFinite,
    OnSpike onSpike,
    double spikeFactor,
    double threshold,
    int patience,
    int plateauSteps) {
  /** Stops at the first loss that is not finite, and looks for nothing else. */
  public static final WatchdogSettings PLAIN =
      new WatchdogSettings(OnNotFinite.STOP, OnSpike.OFF, 2, Double.POSITIVE_INFINITY, 1, 0);

  public WatchdogSettings {
    if (!(spikeFactor > 1) || !(threshold > 0) || patience < 1 || plateauSteps < 0) {
      throw new IllegalArgumentException(
          "spike factor " + spikeFactor + ", threshold " + threshold + ", patience " + patience);
    }
  }
}
