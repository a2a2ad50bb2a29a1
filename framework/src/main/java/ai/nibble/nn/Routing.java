package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Which experts each token goes to. Every pair of a token and one of its experts is a row; rows
 * stand expert by expert, within one in the order of the tokens. A token's experts are told in
 * ascending order.
 *
 * @param perToken experts of each token, k
 * @param experts {@code [N·k]}, the experts of token t from {@code t·k} on
 * @param rows {@code [N·k]}, the row of each of these pairs
 * @param tokens {@code [N·k]}, the token of each row
 * @param used experts with rows, ascending
 * @param starts the first row of each used expert, then the number of rows
 */
record Routing(
    int perToken, int[] experts, int[] rows, int[] tokens, List<Integer> used, int[] starts) {

  /**
   * The experts of the highest probabilities; of equal ones the first.
   *
   * @param probabilities float32 {@code [N, E]} on the CPU
   * @param perToken up to E
   */
  static Routing of(Tensor probabilities, int perToken) {
    int n = Math.toIntExact(probabilities.size(0));
    int count = Math.toIntExact(probabilities.size(1));
    int[] experts = new int[n * perToken];
    try (Rows from = Rows.reading(probabilities, 0, n)) {
      float[] row = new float[count];
      for (int t = 0; t < n; t++) {
        from.load(t, row);
        highest(row, experts, t * perToken, perToken);
      }
    }
    return of(experts, n, count, perToken);
  }

  /** Writes the indices of the highest values in ascending order. */
  private static void highest(float[] row, int[] to, int at, int perToken) {
    boolean[] taken = new boolean[row.length];
    for (int j = 0; j < perToken; j++) {
      int best = -1;
      for (int e = 0; e < row.length; e++) {
        if (!taken[e] && (best < 0 || row[e] > row[best])) {
          best = e;
        }
      }
      taken[best] = true;
    }
    int next = at;
    for (int e = 0; e < row.length; e++) {
      if (taken[e]) {
        to[next++] = e;
      }
    }
  }

  /**
   * A choice that is made.
   *
   * @param experts as {@link #experts}
   * @param n tokens
   * @param count of experts
   */
  static Routing of(int[] experts, int n, int count, int perToken) {
    int[] first = new int[count + 1];
    for (int expert : experts) {
      first[expert + 1]++;
    }
    List<Integer> used = new ArrayList<>();
    List<Integer> starts = new ArrayList<>();
    for (int e = 0; e < count; e++) {
      if (first[e + 1] > 0) {
        used.add(e);
        starts.add(first[e]);
      }
      first[e + 1] += first[e];
    }
    starts.add(experts.length);
    int[] rows = new int[experts.length];
    int[] tokens = new int[experts.length];
    for (int i = 0; i < experts.length; i++) {
      int row = first[experts[i]]++;
      rows[i] = row;
      tokens[row] = i / perToken;
    }
    int[] begins = starts.stream().mapToInt(Integer::intValue).toArray();
    return new Routing(perToken, experts, rows, tokens, List.copyOf(used), begins);
  }

  /** For kernels, int32 {@code [3, N·k]}: rows, tokens, and the pair of each row. */
  Tensor onDevice(Device device) {
    int n = experts.length;
    int[] all = Arrays.copyOf(rows, 3 * n);
    System.arraycopy(tokens, 0, all, n, n);
    for (int pair = 0; pair < n; pair++) {
      all[2 * n + rows[pair]] = pair;
    }
    try (Tensor flat = Tensor.ofInts(device, all)) {
      return flat.view(3, n);
    }
  }
}
