package ai.nibble.train.log;

/**
 * How a run ended.
 *
 * @param step optimizer steps done in all
 * @param seconds wall-clock time of this run
 * @param reason in a few words: {@code finished}, {@code stopped} (as asked, with a checkpoint),
 *     {@code failed: …}
 */
public record RunEnd(int step, double seconds, String reason) {}
