package ai.nibble.data;

import java.util.List;

/**
 * Draws micro-batches, epoch after epoch, each in a new order that depends on the seed and the
 * epoch's number only; so a run that goes on from a {@link Cursor} sees what it would have seen.
 *
 * <p>The order: the state of a SplitMix64 generator (Steele, Lea and Flood, OOPSLA 2014) starts at
 * {@code mix(seed) + epoch}; a Fisher–Yates shuffle goes from the last index down, and picks among
 * n by the high half of the 128-bit product of the next number and n.
 */
public final class EpochSampler {
  private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;

  private final List<Example> examples;
  private final int microBatchSize;
  private final long seed;
  private int[] order;
  private Cursor cursor;

  /**
   * A place between two micro-batches.
   *
   * @param epoch from 0
   * @param position how many examples of the epoch were drawn
   */
  public record Cursor(long epoch, int position) {}

  /**
   * @param examples at least one
   * @param microBatchSize examples a micro-batch, at least 1; an epoch's last may be smaller
   */
  public EpochSampler(List<Example> examples, int microBatchSize, long seed) {
    if (examples.isEmpty() || microBatchSize < 1) {
      throw new IllegalArgumentException(
          examples.size() + " examples, micro-batches of " + microBatchSize);
    }
    this.examples = List.copyOf(examples);
    this.microBatchSize = microBatchSize;
    this.seed = seed;
    restore(new Cursor(0, 0));
  }

  /** The next micro-batch; after an epoch's last comes the next epoch's first. */
  public Batch next() {
    if (cursor.position() == order.length) {
      restore(new Cursor(cursor.epoch() + 1, 0));
    }
    int from = cursor.position();
    int to = (int) Math.min(order.length, (long) from + microBatchSize);
    cursor = new Cursor(cursor.epoch(), to);
    return Batch.of(java.util.Arrays.stream(order, from, to).mapToObj(examples::get).toList());
  }

  /** Where the sampler is; at an epoch's end until the next micro-batch is drawn. */
  public Cursor cursor() {
    return cursor;
  }

  /**
   * Goes on from a place.
   *
   * @throws IllegalArgumentException where the place is not one of this data
   */
  public void restore(Cursor place) {
    if (place.epoch() < 0 || place.position() < 0 || place.position() > examples.size()) {
      throw new IllegalArgumentException(place + " of " + examples.size() + " examples");
    }
    order = order(examples.size(), seed, place.epoch());
    cursor = place;
  }

  static int[] order(int n, long seed, long epoch) {
    int[] order = new int[n];
    for (int i = 0; i < n; i++) {
      order[i] = i;
    }
    long state = mix(seed) + epoch;
    for (int i = n - 1; i > 0; i--) {
      state += GOLDEN_GAMMA;
      int j = (int) unsignedHigh(mix(state), i + 1);
      int swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    return order;
  }

  /** SplitMix64's output function. */
  private static long mix(long z) {
    long mixed = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
    mixed = (mixed ^ (mixed >>> 27)) * 0x94D049BB133111EBL;
    return mixed ^ (mixed >>> 31);
  }

  /** The high half of an unsigned number times a positive one. */
  private static long unsignedHigh(long number, long n) {
    return Math.multiplyHigh(number, n) + (number < 0 ? n : 0);
  }
}
