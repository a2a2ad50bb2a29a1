package ai.nibble.train.log;

/**
 * How a run ended.
 *
 * @param step optimizer steps done in all
 * @param seconds wall-clock time of this run
 * @param reason in a few words: {@code finished}, {@code stopped} (as asked, with a checkpoint),
 *     {@code failed: …}
 */
public record RunEnd(int step, double seconds, String reason) {
  private static final String FAILED = "failed";

  /** The reason without a failure's own words, which end the process's output. */
  public String outcome() {
    return reason.startsWith(FAILED) ? FAILED : reason;
  }
}
