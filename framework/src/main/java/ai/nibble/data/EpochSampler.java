package ai.nibble.data;

import java.util.List;

/**
 * Draws micro-batches, epoch after epoch, each in a new order that depends on the seed and the
 * epoch's number only; so a run that goes on from a {@link Cursor} sees what it would have seen.
 *
 * <p>The order: the state of a {@link SplitMix64} generator starts at {@code mix(seed) + epoch}; a
 * Fisher–Yates shuffle goes from the last place down. The examples are never copied, so that they
 * may be in a file.
 */
public final class EpochSampler {
  private final TrainingRows rows;
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
    this(TrainingRows.of(examples), microBatchSize, seed);
  }

  /**
   * @param rows those of an epoch, which the sampler shuffles
   * @param microBatchSize examples a micro-batch, at least 1; an epoch's last may be smaller
   */
  public EpochSampler(TrainingRows rows, int microBatchSize, long seed) {
    if (microBatchSize < 1) {
      throw new IllegalArgumentException("micro-batches of " + microBatchSize);
    }
    this.rows = rows;
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
    return Batch.of(
        java.util.Arrays.stream(order, from, to).mapToObj(rows.examples()::get).toList());
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
    if (place.epoch() < 0 || place.position() < 0 || place.position() > rows.perEpoch()) {
      throw new IllegalArgumentException(place + " of " + rows.perEpoch() + " examples");
    }
    int[] indices = rows.indices(seed, place.epoch());
    order = order(indices.length, seed, place.epoch());
    for (int i = 0; i < order.length; i++) {
      order[i] = indices[order[i]];
    }
    cursor = place;
  }

  static int[] order(int n, long seed, long epoch) {
    int[] order = new int[n];
    for (int i = 0; i < n; i++) {
      order[i] = i;
    }
    SplitMix64 random = new SplitMix64(SplitMix64.mix(seed) + epoch);
    for (int i = n - 1; i > 0; i--) {
      int j = random.below(i + 1);
      int swapped = order[i];
      order[i] = order[j];
      order[j] = swapped;
    }
    return order;
  }
}
