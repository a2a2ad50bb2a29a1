package ai.nibble.data;

import java.util.Arrays;
import java.util.List;

/**
 * What every epoch of a run draws, from the rows' lengths and weights, the seed and the epoch's
 * number alone; so a run's steps can be counted before it begins. The examples are never copied, so
 * that they may lie in a file.
 */
public final class EpochPlan {
  private final TrainingRows rows;
  private final RowOrder order;
  private final long seed;
  private final int[] lengths;

  /** Each row once an epoch. */
  public EpochPlan(List<Example> examples, RowOrder order, long seed) {
    this(TrainingRows.of(examples), order, seed);
  }

  /**
   * @param rows not changed while this is used
   */
  public EpochPlan(TrainingRows rows, RowOrder order, long seed) {
    this.rows = rows;
    this.order = order;
    this.seed = seed;
    this.lengths = new int[rows.examples().size()];
    for (int i = 0; i < lengths.length; i++) {
      lengths[i] = Examples.length(rows.examples(), i);
    }
  }

  public RowOrder order() {
    return order;
  }

  /** The rows of an epoch, counted from 0. */
  Epoch epoch(long number) {
    int[] drawn = rows.indices(seed, number);
    Epoch epoch = order.epoch(lengths(drawn), seed, number);
    return new Epoch(Arrays.stream(epoch.rows()).map(i -> drawn[i]).toArray(), epoch.starts());
  }

  /** How many units an epoch has. */
  public int units(long number) {
    return order instanceof RowOrder.Packed packed
        ? packed.units(lengths(rows.indices(seed, number)), seed, number)
        : rows.perEpoch();
  }

  /** How full an epoch's packs are; only where rows are packed. */
  public PackingSummary packing(long number) {
    int[] drawn = lengths(rows.indices(seed, number));
    return PackingSummary.of(drawn, (RowOrder.Packed) order, seed, number);
  }

  private int[] lengths(int[] drawn) {
    return Arrays.stream(drawn).map(row -> lengths[row]).toArray();
  }

  Example example(int row) {
    return rows.examples().get(row);
  }

  /** Rows of an epoch. */
  public int rows() {
    return rows.perEpoch();
  }
}
