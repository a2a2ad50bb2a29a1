package ai.nibble.data;

import java.util.ArrayList;
import java.util.List;

/**
 * Draws micro-batches, epoch after epoch, each in a new order that depends on the seed and the
 * epoch's number only; so a run that goes on from a {@link Cursor} sees what it would have seen.
 */
public final class EpochSampler {
  private final EpochPlan plan;
  private final int microBatchSize;
  private Epoch epoch;
  private Cursor cursor;

  /**
   * A place between two micro-batches.
   *
   * @param epoch from 0
   * @param position how many of the epoch's units (examples, or packs of them) were drawn
   */
  public record Cursor(long epoch, int position) {}

  /**
   * Draws examples in random order.
   *
   * @param examples at least one, not changed while this is used
   * @param microBatchSize examples a micro-batch, at least 1; an epoch's last may be smaller
   */
  public EpochSampler(List<Example> examples, int microBatchSize, long seed) {
    this(TrainingRows.of(examples), microBatchSize, seed);
  }

  /**
   * Draws rows by themselves, in random order.
   *
   * @param rows which of them an epoch has
   * @param microBatchSize examples a micro-batch, at least 1; an epoch's last may be smaller
   */
  public EpochSampler(TrainingRows rows, int microBatchSize, long seed) {
    this(new EpochPlan(rows, RowOrder.SHUFFLED, seed), microBatchSize);
  }

  /**
   * Draws units of examples.
   *
   * @param microBatchSize units a micro-batch, at least 1; an epoch's last may be smaller
   */
  public EpochSampler(EpochPlan plan, int microBatchSize) {
    if (microBatchSize < 1) {
      throw new IllegalArgumentException("micro-batches of " + microBatchSize);
    }
    this.plan = plan;
    this.microBatchSize = microBatchSize;
    restore(new Cursor(0, 0));
  }

  /** The next micro-batch; after an epoch's last comes the next epoch's first. */
  public Batch next() {
    if (isAtEpochEnd()) {
      restore(new Cursor(cursor.epoch() + 1, 0));
    }
    int from = cursor.position();
    int to = (int) Math.min(epoch.units(), (long) from + microBatchSize);
    cursor = new Cursor(cursor.epoch(), to);
    List<Example> drawn = new ArrayList<>();
    for (int row : epoch.rows(from, to)) {
      drawn.add(plan.example(row));
    }
    return Batch.of(drawn);
  }

  /** Where the sampler is; at an epoch's end until the next micro-batch is drawn. */
  public Cursor cursor() {
    return cursor;
  }

  /** Whether all of the epoch that the cursor is in has been drawn. */
  public boolean isAtEpochEnd() {
    return cursor.position() == epoch.units();
  }

  /** Epochs drawn, with a fraction. */
  public double epochs() {
    return cursor.epoch() + (double) cursor.position() / epoch.units();
  }

  /**
   * Goes on from a place.
   *
   * @throws IllegalArgumentException where the place is not one of this data
   */
  public void restore(Cursor place) {
    Epoch entered = place.epoch() < 0 ? null : plan.epoch(place.epoch());
    if (entered == null || place.position() < 0 || place.position() > entered.units()) {
      throw new IllegalArgumentException(place + " of " + plan.rows() + " examples");
    }
    epoch = entered;
    cursor = place;
  }
}
