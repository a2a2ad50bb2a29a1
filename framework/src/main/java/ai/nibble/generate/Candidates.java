package ai.nibble.generate;

import ai.nibble.InvalidInputException;
import java.util.Arrays;
import java.util.function.IntPredicate;

/**
 * The tokens that may come next, ascending by id, with their logits. Each filter renormalises what
 * the one before left and drops some more; one token always stays. Filters follow transformers'
 * logits warpers, ties included.
 */
final class Candidates {
  private final int[] ids;
  private final float[] scores;
  private int count;

  private Candidates(int[] ids, float[] scores, int count) {
    this.ids = ids;
    this.scores = scores;
    this.count = count;
  }

  /**
   * All tokens that are not banned.
   *
   * @param logits {@code [vocabulary]}; −∞ bans a token
   * @param temperature above 0; the logits are divided by it
   * @throws InvalidInputException if a logit is not a number, or none is finite
   */
  static Candidates of(float[] logits, double temperature) {
    float max = Float.NEGATIVE_INFINITY;
    for (float logit : logits) {
      max = Math.max(max, logit); // not a number if any is
    }
    if (!Float.isFinite(max)) {
      throw new InvalidInputException(
          "the largest logit is "
              + max
              + ", expected a finite number: the model's weights or its adapter are damaged, or"
              + " no_repeat_ngram_size bans every token");
    }
    int[] ids = new int[logits.length];
    float[] scores = new float[logits.length];
    int count = 0;
    for (int id = 0; id < logits.length; id++) {
      if (logits[id] != Float.NEGATIVE_INFINITY) {
        ids[count] = id;
        // the largest becomes 0, so that no temperature makes it infinite
        scores[count++] = (float) ((logits[id] - max) / temperature);
      }
    }
    return new Candidates(ids, scores, count);
  }

  /** Keeps the k with the highest logits, and those that equal the k-th. */
  void topK(int k) {
    if (k < count) {
      float least = kthLargest(Arrays.copyOf(scores, count), k);
      keep(i -> scores[i] >= least);
    }
  }

  /** Hoare's selection; changes the array. */
  private static float kthLargest(float[] values, int k) {
    int target = values.length - k;
    int low = 0;
    int high = values.length - 1;
    while (low < high) {
      float pivot = values[(low + high) >>> 1];
      int i = low;
      int j = high;
      while (i <= j) {
        while (values[i] < pivot) {
          i++;
        }
        while (values[j] > pivot) {
          j--;
        }
        if (i <= j) {
          float swapped = values[i];
          values[i++] = values[j];
          values[j--] = swapped;
        }
      }
      if (target <= j) {
        high = j;
      } else if (target >= i) {
        low = i;
      } else {
        return values[target];
      }
    }
    return values[target];
  }

  /** Drops the least likely tokens that together have at most the probability {@code 1 − p}. */
  void topP(double p) {
    double most = 1 - p;
    double[] probabilities = probabilities();
    // what has less than an equal share of that is dropped, however it sorts; the rest is sorted
    double share = most / count;
    double dropped = 0;
    long[] order = new long[count];
    int sorted = 0;
    for (int i = 0; i < count; i++) {
      if (probabilities[i] < share) {
        dropped += probabilities[i];
      } else {
        order[sorted++] = sortable(scores[i], i);
      }
    }
    Arrays.sort(order, 0, sorted);
    boolean[] kept = new boolean[count];
    for (int o = 0; o < sorted; o++) {
      int i = (int) order[o];
      dropped += probabilities[i];
      kept[i] = dropped > most || o == sorted - 1;
    }
    keep(i -> kept[i]);
  }

  /** Drops tokens less likely than a share of the most likely one's probability. */
  void minP(double share) {
    double[] probabilities = probabilities();
    double least = share * Arrays.stream(probabilities).max().orElseThrow();
    keep(i -> probabilities[i] >= least);
  }

  /** Keeps the tokens whose information differs least from the entropy, up to a mass. */
  void typicalP(double mass) {
    double[] probabilities = probabilities();
    double entropy = 0;
    for (double p : probabilities) {
      entropy -= p > 0 ? p * Math.log(p) : 0;
    }
    float[] distance = new float[count];
    long[] order = new long[count];
    for (int i = 0; i < count; i++) {
      distance[i] = (float) Math.abs(-Math.log(probabilities[i]) - entropy);
      order[i] = sortable(distance[i], i);
    }
    Arrays.sort(order);
    double reached = 0;
    float last = 0;
    for (int o = 0; o < count && reached < mass; o++) {
      reached += probabilities[(int) order[o]];
      last = distance[(int) order[o]];
    }
    float furthest = last;
    keep(i -> distance[i] <= furthest);
  }

  /** Orders by value, then by index, which the lower half is. */
  private static long sortable(float value, int index) {
    int bits = Float.floatToIntBits(value);
    return (long) (bits ^ (bits >> 31 & Integer.MAX_VALUE)) << 32 | index;
  }

  private void keep(IntPredicate kept) {
    int left = 0;
    for (int i = 0; i < count; i++) {
      if (kept.test(i)) {
        ids[left] = ids[i];
        scores[left++] = scores[i];
      }
    }
    count = left;
  }

  /** The tokens that are left. */
  int[] ids() {
    return Arrays.copyOf(ids, count);
  }

  /** Their probabilities, which sum to 1. */
  double[] probabilities() {
    float max = scores[0];
    for (int i = 1; i < count; i++) {
      max = Math.max(max, scores[i]);
    }
    double[] probabilities = new double[count];
    double sum = 0;
    for (int i = 0; i < count; i++) {
      probabilities[i] = Math.exp((double) scores[i] - max);
      sum += probabilities[i];
    }
    for (int i = 0; i < count; i++) {
      probabilities[i] /= sum;
    }
    return probabilities;
  }

  /**
   * The token at a point of the cumulative probabilities.
   *
   * @param u in [0, 1)
   */
  int draw(double u) {
    double[] probabilities = probabilities();
    double reached = 0;
    int last = 0;
    for (int i = 0; i < count; i++) {
      if (probabilities[i] > 0) {
        reached += probabilities[i];
        last = i;
        if (u < reached) {
          break;
        }
      }
    }
    return ids[last];
  }
}
