package ai.nibble.data;

import java.util.List;

/**
 * The rows to train on, and which of them an epoch has: of a set of n rows with weight w, w·n,
 * rounded to the nearest whole number and at least one. Each row comes ⌊w⌋ times, and those that
 * are missing then are drawn from the set without repetition, anew in each epoch. So every epoch
 * has as many rows as any other, and which they are depends on the seed and the epoch's number
 * only.
 *
 * @param examples of all sets, one behind the other
 * @param sets that make up the examples, in their order
 */
public record TrainingRows(List<Example> examples, List<Weighted> sets) {
  /**
   * A set of neighbouring examples.
   *
   * @param rows how many, at least 1
   * @param weight above 0; 1: each row once an epoch
   */
  public record Weighted(int rows, double weight) {
    public Weighted {
      if (rows < 1 || !(weight > 0) || weight * rows > Integer.MAX_VALUE) {
        throw new IllegalArgumentException(rows + " rows of weight " + weight);
      }
    }

    /** How many rows an epoch has of this set. */
    int perEpoch() {
      return (int) Math.max(1, Math.round(weight * rows));
    }
  }

  /** Copies the lists, other than {@link Examples}. */
  public TrainingRows {
    examples = Examples.unmodifiable(examples);
    sets = List.copyOf(sets);
    long rows = sets.stream().mapToLong(Weighted::rows).sum();
    long perEpoch = sets.stream().mapToLong(Weighted::perEpoch).sum();
    if (rows != examples.size() || rows == 0 || perEpoch > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(examples.size() + " examples, sets " + sets);
    }
  }

  /** Each row once an epoch. */
  public static TrainingRows of(List<Example> examples) {
    return new TrainingRows(examples, List.of(new Weighted(examples.size(), 1)));
  }

  /** How many rows an epoch has. */
  public int perEpoch() {
    return sets.stream().mapToInt(Weighted::perEpoch).sum();
  }

  /**
   * The indices of an epoch's examples, in no particular order; some may be there several times.
   *
   * @return {@code [perEpoch]}
   */
  public int[] indices(long seed, long epoch) {
    int[] indices = new int[perEpoch()];
    int filled = 0;
    int first = 0;
    for (int s = 0; s < sets.size(); s++) {
      int rows = sets.get(s).rows();
      int[] all = new int[rows];
      for (int i = 0; i < rows; i++) {
        all[i] = first + i;
      }
      int left = sets.get(s).perEpoch();
      for (; left >= rows; left -= rows) {
        System.arraycopy(all, 0, indices, filled, rows);
        filled += rows;
      }
      // numbers of its own for each set and epoch, and other ones than those of the shuffle
      SplitMix64 random =
          new SplitMix64(SplitMix64.mix(SplitMix64.mix(seed) + epoch) ^ SplitMix64.mix(s + 1L));
      for (int i = 0; i < left; i++) {
        int j = i + random.below(rows - i);
        indices[filled++] = all[j];
        all[j] = all[i];
      }
      first += rows;
    }
    return indices;
  }
}
