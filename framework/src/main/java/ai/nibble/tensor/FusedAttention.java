package ai.nibble.tensor;

import java.util.List;

/**
 * Causal attention on a device in its variable-length form: sequences lie back to back and do not
 * see each other. libtorch's are each one kernel, whose scores never lie in memory (Dao 2023; Rabe
 * and Staats 2021). The last query of a sequence sees its last key, those before it one key fewer
 * each. Heads' elements are adjacent, everything else may be strided.
 */
public interface FusedAttention {
  /**
   * Where sequences begin.
   *
   * @param starts int32 {@code [sequences + 1]}: first token of each sequence, then their sum
   * @param longest tokens of the longest sequence
   * @param offsets the starts on the host, not copied
   */
  record Sequences(Tensor starts, long longest, int[] offsets) {}

  /**
   * What is made of products of queries and keys.
   *
   * @param scale they are multiplied by
   * @param window above 0: a query sees the last so many of its keys; 0: all of them
   * @param cap above 0: a scaled score s becomes {@code cap·tanh(s/cap)}, which no kernel of
   *     libtorch computes; 0: it stays
   */
  record Scores(double scale, int window, double cap) {
    /** Without a cap. */
    public Scores(double scale, int window) {
      this(scale, window, 0);
    }

    /**
     * Checks that there is no cap.
     *
     * @param kernel for the message
     */
    void requireNoCap(String kernel) {
      if (cap != 0) {
        throw new TensorException(kernel + ": scores with a cap of " + cap);
      }
    }
  }

  /**
   * @param output {@code [N, heads, D]}
   * @param aside what backward needs beside it, such as the log-sum-exp of every query's scores
   */
  record Result(Tensor output, List<Tensor> aside) implements AutoCloseable {
    public Result {
      aside = List.copyOf(aside);
    }

    @Override
    public void close() {
      output.close();
      aside.forEach(Tensor::close);
    }
  }

  /**
   * Gradients of queries, keys and values.
   *
   * @param dq {@code [N, heads, D]}
   * @param dk {@code [N, kvHeads, D]}
   * @param dv {@code [N, kvHeads, D]}
   */
  record Gradients(Tensor dq, Tensor dk, Tensor dv) implements AutoCloseable {
    @Override
    public void close() {
      List.of(dq, dk, dv).forEach(Tensor::close);
    }
  }

  /**
   * @param q {@code [N, heads, D]}
   * @param k {@code [M, kvHeads, D]}
   * @param v {@code [M, kvHeads, D]}
   * @param queries of q
   * @param keys of k and v, as many sequences
   * @return the caller's to close
   */
  Result forward(Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, Scores scores);

  /**
   * Differentiates {@link #forward} with the same queries, keys, values and scores, where both have
   * the same sequences.
   *
   * @param gradOutput {@code [N, heads, D]}
   * @return the caller's to close
   */
  Gradients backward(
      Tensor gradOutput,
      Tensor q,
      Tensor k,
      Tensor v,
      Result forward,
      Sequences sequences,
      Scores scores);
}
