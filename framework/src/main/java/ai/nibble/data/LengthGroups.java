package ai.nibble.data;

import static ai.nibble.data.RowOrder.LengthGrouped.MICRO_BATCHES;

import java.util.Arrays;
import java.util.Comparator;

/** The order of {@link RowOrder.LengthGrouped}. */
final class LengthGroups {
  private LengthGroups() {}

  static int[] order(int[] lengths, int microBatchSize, long seed, long epoch) {
    Shuffle shuffle = new Shuffle(seed, epoch);
    Integer[] rows = Arrays.stream(shuffle.order(lengths.length)).boxed().toArray(Integer[]::new);
    // a sort by length keeps the random order of rows of one length
    Comparator<Integer> longest = Comparator.comparingInt(row -> -lengths[row]);
    long group = (long) MICRO_BATCHES * microBatchSize;
    for (long from = 0; from < rows.length; from += group) {
      Arrays.sort(rows, (int) from, (int) Math.min(rows.length, from + group), longest);
    }
    int[] batches = batches(rows, lengths, microBatchSize, shuffle);
    int[] order = new int[rows.length];
    int at = 0;
    for (int batch : batches) {
      long begin = (long) batch * microBatchSize;
      for (long i = begin; i < Math.min(rows.length, begin + microBatchSize); i++) {
        order[at++] = rows[(int) i];
      }
    }
    return order;
  }

  /** Full micro-batches in random order, that with the longest row first, then what is left. */
  private static int[] batches(Integer[] rows, int[] lengths, int microBatchSize, Shuffle shuffle) {
    int full = rows.length / microBatchSize;
    int[] order = shuffle.order(full);
    int longest = 0;
    for (int i = 1; i < full; i++) {
      // a micro-batch's first row is its longest
      int here = lengths[rows[order[i] * microBatchSize]];
      longest = here > lengths[rows[order[longest] * microBatchSize]] ? i : longest;
    }
    if (full > 0) {
      int first = order[0];
      order[0] = order[longest];
      order[longest] = first;
    }
    boolean rest = rows.length % microBatchSize > 0;
    int[] all = Arrays.copyOf(order, rest ? full + 1 : full);
    if (rest) {
      all[full] = full;
    }
    return all;
  }
}
