package ai.nibble.data;

import java.util.List;

/**
 * What every epoch of a run draws, from the rows' lengths, the seed and the epoch's number alone;
 * so a run's steps can be counted before it begins. The examples are never copied, so that they may
 * lie in a file.
 */
public final class EpochPlan {
  private final List<Example> examples;
  private final RowOrder order;
  private final long seed;
  private final int[] lengths;

  /**
   * @param examples at least one, not changed while this is used
   */
  public EpochPlan(List<Example> examples, RowOrder order, long seed) {
    if (examples.isEmpty()) {
      throw new IllegalArgumentException("0 examples");
    }
    this.examples = examples;
    this.order = order;
    this.seed = seed;
    this.lengths = examples.stream().mapToInt(Example::length).toArray();
  }

  public RowOrder order() {
    return order;
  }

  /** The rows of an epoch, counted from 0. */
  Epoch epoch(long number) {
    return order.epoch(lengths, seed, number);
  }

  /** How many units an epoch has. */
  public int units(long number) {
    return order.units(lengths, seed, number);
  }

  /** How full an epoch's packs are; only where rows are packed. */
  public PackingSummary packing(long number) {
    return PackingSummary.of(lengths, (RowOrder.Packed) order, seed, number);
  }

  Example example(int row) {
    return examples.get(row);
  }

  /** Rows of an epoch. */
  public int rows() {
    return lengths.length;
  }
}
