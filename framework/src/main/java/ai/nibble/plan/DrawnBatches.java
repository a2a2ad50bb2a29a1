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
 * What is known of the micro-batches that a run draws: their order is the seed's.
 *
 * @param large those of which one needs the most memory: the largest, and of those with nine tenths
 *     of its tokens up to a hundred, evenly chosen. Tokens alone do not say which, as attention
 *     keeps its probabilities where sequences are short, and of two packs with the same tokens one
 *     may need a third more
 * @param shapes how many shapes the run's products have, about
 */
public record DrawnBatches(List<MicroBatch> large, int shapes) {
  /** Beyond so many, a larger one than those before is hardly to come. */
  private static final int MOST_DRAWN = 20_000;

  /** Of how many large micro-batches the memory is computed. */
  private static final int MOST_KEPT = 100;

  /** Products of a layer's linears forward and backward, whose shapes follow the batch's tokens. */
  private static final int LINEAR_SHAPES = 12;

  /** Products of attention forward and backward, whose shapes follow a sequence's length. */
  private static final int ATTENTION_SHAPES = 6;

  /** Shapes of micro-batches that are all alike. */
  static final int SHAPES_OF_ONE = LINEAR_SHAPES + ATTENTION_SHAPES;

  /** Which of two is larger: activations outweigh what grows with the loss. */
  private static final Comparator<MicroBatch> BY_SIZE =
      Comparator.comparingInt(MicroBatch::tokens).thenComparingInt(MicroBatch::lossTokens);

  public DrawnBatches {
    large = List.copyOf(large);
  }

  /**
   * Draws as the run will.
   *
   * @param sampler at its beginning
   * @param microBatches of the whole run; of a long one the first 20,000 are looked at
   */
  public static DrawnBatches of(EpochSampler sampler, long microBatches) {
    List<MicroBatch> large = new ArrayList<>();
    Set<Integer> tokens = new HashSet<>();
    Set<Integer> lengths = new HashSet<>();
    int most = 0;
    for (long i = 0; i < Math.min(microBatches, MOST_DRAWN); i++) {
      Batch batch = sampler.next();
      most = Math.max(most, batch.tokens());
      if (isLarge(batch.tokens(), most)) {
        large.add(MicroBatch.of(batch));
      }
      tokens.add(batch.tokens());
      int[] starts = batch.sequenceStarts();
      for (int s = 1; s < starts.length; s++) {
        lengths.add(starts[s] - starts[s - 1]);
      }
    }
    int shapes = LINEAR_SHAPES * tokens.size() + ATTENTION_SHAPES * lengths.size();
    return new DrawnBatches(chosen(large, most), shapes);
  }

  private static List<MicroBatch> chosen(List<MicroBatch> drawn, int most) {
    List<MicroBatch> large =
        drawn.stream()
            .filter(batch -> isLarge(batch.tokens(), most))
            .sorted(BY_SIZE.reversed())
            .toList();
    int kept = Math.min(large.size(), MOST_KEPT);
    return IntStream.range(0, kept)
        .mapToObj(i -> large.get((int) ((long) i * large.size() / kept)))
        .toList();
  }

  private static boolean isLarge(int tokens, int most) {
    return tokens >= most - most / 10;
  }

  /** The one with the most tokens. */
  public MicroBatch largest() {
    return large.get(0);
  }
}
