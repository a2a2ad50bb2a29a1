package ai.nibble.plan;

import ai.nibble.data.Batch;
import ai.nibble.data.EpochSampler;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.IntStream;

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

  /** Of how many large micro-batches the memory is computed. */
  private static final int MOST_KEPT = 100;

  /** Which of two is larger: activations outweigh what grows with the loss. */
  private static final Comparator<MicroBatch> BY_SIZE =
      Comparator.comparingInt(MicroBatch::tokens).thenComparingInt(MicroBatch::lossTokens);

  /**
   * The largest of the micro-batches that a run draws: their order is the seed's, so it is known.
   *
   * @param sampler at its beginning
   * @param microBatches of the whole run; of a long one the first 20,000 are looked at
   */
  public static MicroBatch largestDrawn(EpochSampler sampler, long microBatches) {
    return largeOnesDrawn(sampler, microBatches).get(0);
  }

  /**
   * Those that a run draws of which one needs the most memory: tokens alone do not say which, as
   * attention keeps its probabilities where sequences are short, and of two packs with the same
   * tokens one may need a third more.
   *
   * @param sampler at its beginning
   * @param microBatches of the whole run; of a long one the first 20,000 are looked at
   * @return the largest, and of those with nine tenths of its tokens up to a hundred, evenly chosen
   */
  public static List<MicroBatch> largeOnesDrawn(EpochSampler sampler, long microBatches) {
    List<MicroBatch> large = new ArrayList<>();
    int most = 0;
    for (long i = 0; i < Math.min(microBatches, MOST_DRAWN); i++) {
      Batch batch = sampler.next();
      most = Math.max(most, batch.tokens());
      if (isLarge(batch.tokens(), most)) {
        large.add(of(batch));
      }
    }
    int tokens = most;
    large.removeIf(batch -> !isLarge(batch.tokens(), tokens));
    large.sort(BY_SIZE.reversed());
    int kept = Math.min(large.size(), MOST_KEPT);
    return IntStream.range(0, kept)
        .mapToObj(i -> large.get((int) ((long) i * large.size() / kept)))
        .toList();
  }

  /** Products of a layer's linears forward and backward, whose shapes follow the batch's tokens. */
  private static final int LINEAR_SHAPES = 12;

  /** Products of attention forward and backward, whose shapes follow a sequence's length. */
  private static final int ATTENTION_SHAPES = 6;

  /** Shapes of micro-batches that are all alike. */
  static final int SHAPES_OF_ONE = LINEAR_SHAPES + ATTENTION_SHAPES;

  /**
   * How many shapes the products of a run have, about.
   *
   * @param sampler at its beginning
   * @param microBatches of the whole run; of a long one the first 20,000 are looked at
   */
  public static int shapesDrawn(EpochSampler sampler, long microBatches) {
    Set<Integer> tokens = new HashSet<>();
    Set<Integer> lengths = new HashSet<>();
    for (long i = 0; i < Math.min(microBatches, MOST_DRAWN); i++) {
      Batch batch = sampler.next();
      tokens.add(batch.tokens());
      int[] starts = batch.sequenceStarts();
      for (int s = 1; s < starts.length; s++) {
        lengths.add(starts[s] - starts[s - 1]);
      }
    }
    return LINEAR_SHAPES * tokens.size() + ATTENTION_SHAPES * lengths.size();
  }

  private static boolean isLarge(int tokens, int most) {
    return tokens >= most - most / 10;
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
}
