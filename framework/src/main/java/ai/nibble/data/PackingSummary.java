package ai.nibble.data;

import java.util.Arrays;
import java.util.Locale;

/**
 * How full packs are.
 *
 * @param rows packed
 * @param packs made of them
 * @param tokens of the rows
 * @param capacity tokens of a full pack
 */
public record PackingSummary(int rows, int packs, long tokens, int capacity) {
  /**
   * Packs the rows of an epoch.
   *
   * @param lengths tokens of each row
   */
  public static PackingSummary of(int[] lengths, RowOrder.Packed order, long seed, long epoch) {
    long tokens = Arrays.stream(lengths).asLongStream().sum();
    int packs = order.units(lengths, seed, epoch);
    return new PackingSummary(lengths.length, packs, tokens, order.tokens());
  }

  /** The share of the packs' tokens that rows take. */
  public double fill() {
    return (double) tokens / ((double) packs * capacity);
  }

  /** {@code 1,000 rows into 123 packs of up to 2,048 tokens, 97.8 % full}. */
  @Override
  public String toString() {
    return String.format(
        Locale.ROOT,
        "%,d rows into %,d packs of up to %,d tokens, %.1f %% full",
        rows,
        packs,
        capacity,
        100 * fill());
  }
}
