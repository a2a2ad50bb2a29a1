package ai.nibble.plan;

import ai.nibble.data.Batch;

/**
 * The lengths of a micro-batch's rows, from which its memory follows.
 *
 * @param sequenceStarts as {@link Batch#sequenceStarts}
 * @param lossTokens tokens that carry loss
 */
public record MicroBatch(int[] sequenceStarts, int lossTokens) {
  /** Tokens of all rows. */
  public int tokens() {
    return sequenceStarts[sequenceStarts.length - 1];
  }

  /** Rows, or packs of them. */
  public int sequences() {
    return sequenceStarts.length - 1;
  }

  /** So many sequences of one length that all carry loss. */
  public static MicroBatch of(int sequences, int length) {
    int[] starts = new int[sequences + 1];
    for (int s = 1; s <= sequences; s++) {
      starts[s] = Math.multiplyExact(s, length);
    }
    return new MicroBatch(starts, sequences * (length - 1));
  }

  static MicroBatch of(Batch batch) {
    return new MicroBatch(batch.sequenceStarts(), batch.lossTokens());
  }
}
