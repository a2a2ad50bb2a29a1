package ai.nibble.plan;

import ai.nibble.data.Batch;
import ai.nibble.data.EpochSampler;
import java.util.Comparator;

/**
 * The lengths of a micro-batch's rows, from which its memory follows.
 *
 * @param sequenceStarts as {@link Batch#sequenceStarts}
 * @param lossTokens tokens that carry loss
 */
public record MicroBatch(int[] sequenceStarts, int lossTokens) {
  /** Beyond so many, a larger one than those before is hardly to come. */
  private static final int MOST_DRAWN = 20_000;

  /** Tokens of all rows. */
  public int tokens() {
    return sequenceStarts[sequenceStarts.length - 1];
  }

  /** Rows, or packs of them. */
  public int sequences() {
    return sequenceStarts.length - 1;
  }

  /** Which of two needs more: activations outweigh what grows with the loss. */
  private static final Comparator<MicroBatch> BY_SIZE =
      Comparator.comparingInt(MicroBatch::tokens).thenComparingInt(MicroBatch::lossTokens);

  /**
   * The largest of the micro-batches that a run draws: their order is the seed's, so it is known.
   *
   * @param sampler at its beginning
   * @param microBatches of the whole run; of a long one the first 20,000 are looked at
   */
  public static MicroBatch largestDrawn(EpochSampler sampler, long microBatches) {
    MicroBatch largest = null;
    for (long i = 0; i < Math.min(microBatches, MOST_DRAWN); i++) {
      Batch batch = sampler.next();
      if (largest == null || batch.tokens() >= largest.tokens()) {
        largest = larger(largest, of(batch));
      }
    }
    return largest;
  }

  /** So many sequences of one length that all carry loss. */
  public static MicroBatch of(int sequences, int length) {
    int[] starts = new int[sequences + 1];
    for (int s = 1; s <= sequences; s++) {
      starts[s] = Math.multiplyExact(s, length);
    }
    return new MicroBatch(starts, sequences * (length - 1));
  }

  private static MicroBatch of(Batch batch) {
    return new MicroBatch(batch.sequenceStarts(), batch.lossTokens());
  }

  private static MicroBatch larger(MicroBatch a, MicroBatch b) {
    return a == null || BY_SIZE.compare(a, b) < 0 ? b : a;
  }
}
