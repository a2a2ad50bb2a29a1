package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.cuda.HeadNormKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;

/**
 * Root-mean-square normalisation of each head of queries and of keys by itself, before they are
 * rotated (Henry et al. 2020; as in Qwen 3). All query heads share one weight, all key heads
 * another; values go through as they are. Each head is what {@link RmsNorm} makes of it as a row.
 * Where all heads are normalised together (OLMo 2), each of both is one wide head.
 */
public final class HeadNorm implements AutoCloseable {
  private final RmsNorm query;
  private final RmsNorm key;
  private final int heads;
  private final int keyValueHeads;

  /**
   * @param query of {@code [headDim]}, taken over
   * @param key of {@code [headDim]}, taken over, with the same epsilon and scale; the widths of
   *     both may differ
   * @param heads of queries
   * @param keyValueHeads of keys
   */
  public HeadNorm(RmsNorm query, RmsNorm key, int heads, int keyValueHeads) {
    this.query = query;
    this.key = key;
    this.heads = heads;
    this.keyValueHeads = keyValueHeads;
  }

  /**
   * Normalises queries and keys.
   *
   * @param qkv {@code [N, (heads + 2·keyValueHeads)·headDim]}: queries, keys, values side by side
   * @return the same, normalised
   */
  public Variable apply(Tape tape, Variable qkv) {
    return tape.apply(new Normalize(), qkv);
  }

  /**
   * What normalising holds: its output, and for backward its input; backward the query heads and
   * their gradients by themselves, where weights are trained.
   */
  public static Footprint footprint(
      Extent extent, int heads, int keyValueHeads, int headDim, boolean trained) {
    long n = extent.tokens();
    long width = (heads + 2L * keyValueHeads) * headDim;
    long apart = trained ? 2 * extent.compute(n, (long) heads * headDim) : 0;
    return Footprint.of(extent.compute(n, width))
        .savingInput(0)
        .inForward(extent.windows(2, n, width))
        .inBackward(apart, extent.windows(4, n, width), extent.compute(n, width));
  }

  /** Normalises one token's queries and keys in place, as {@link #apply} does rows of a dtype. */
  void normalize(float[] qkv, DType dtype) {
    int at = 0;
    for (int h = 0; h < heads + keyValueHeads; h++) {
      RmsNorm norm = h < heads ? query : key;
      float[] head = Arrays.copyOfRange(qkv, at, at + norm.width());
      norm.normalize(head, dtype);
      System.arraycopy(head, 0, qkv, at, head.length);
      at += head.length;
    }
  }

  private HeadNormKernels.Heads forKernels() {
    return new HeadNormKernels.Heads(
        query.weight(), key.weight(), heads, keyValueHeads, query.rule());
  }

  @Override
  public void close() {
    query.close();
    key.close();
  }

  private final class Normalize extends Function {
    private final boolean kernels = query.byKernels();
    private Tensor x;

    @Override
    protected boolean hasParameters() {
      return query.isTrained() || key.isTrained();
    }

    @Override
    protected Tensor[] forward(Tensor[] inputs) {
      Tensor in = inputs[0];
      x = save(in);
      Tensor y = Tensor.empty(in.device(), in.dtype(), in.shape());
      if (kernels) {
        HeadNormKernels.forward(y, in, forKernels());
        return new Tensor[] {y};
      }
      RmsNorm.Row[] rules = {query.row(in.dtype()), key.row(in.dtype())};
      Parallel.forRanges(
          in.size(0),
          Rows.grain(in.size(1)),
          (begin, end) -> {
            try (Rows from = Rows.reading(in, begin, end);
                Rows to = Rows.writing(y, begin, end)) {
              float[] row = new float[(int) in.size(1)];
              float[] queryHead = new float[query.width()];
              float[] keyHead = new float[key.width()];
              for (long t = begin; t < end; t++) {
                from.load(t, row);
                int at = normalize(rules[0], row, 0, heads, queryHead);
                normalize(rules[1], row, at, keyValueHeads, keyHead);
                to.store(t, row);
              }
            }
          });
      return new Tensor[] {y};
    }

    /** Normalises heads side by side from {@code at} on; returns where they end. */
    private int normalize(RmsNorm.Row rule, float[] row, int at, int count, float[] head) {
      int next = at;
      for (int h = 0; h < count; h++) {
        System.arraycopy(row, next, head, 0, head.length);
        rule.normalize(head);
        System.arraycopy(head, 0, row, next, head.length);
        next += head.length;
      }
      return next;
    }

    @Override
    protected void backward(Tensor[] gradOutputs, Gradients gradients) {
      Tensor dy = gradOutputs[0];
      accumulate(query, 0, heads, dy);
      accumulate(key, heads * query.width(), keyValueHeads, dy);
      try (Tensor before = gradients.take(0)) {
        Tensor dx = Tensor.empty(dy.device(), dy.dtype(), dy.shape());
        if (kernels) {
          HeadNormKernels.backward(dx, dy, x, before, forKernels());
        } else {
          backwardRows(dx, dy, before);
        }
        gradients.add(0, dx);
      }
    }

    private void backwardRows(Tensor dx, Tensor dy, Tensor before) {
      RmsNorm.Row[] rules = {query.row(x.dtype()), key.row(x.dtype())};
      Parallel.forRanges(
          dy.size(0),
          Rows.grain(dy.size(1)),
          (begin, end) -> {
            try (Rows grads = Rows.reading(dy, begin, end);
                Rows values = Rows.reading(x, begin, end);
                Rows prior = before == null ? null : Rows.reading(before, begin, end);
                Rows to = Rows.writing(dx, begin, end)) {
              float[] g = new float[(int) dy.size(1)];
              float[] v = new float[g.length];
              float[] sum = new float[g.length];
              for (long t = begin; t < end; t++) {
                grads.load(t, g);
                values.load(t, v);
                if (prior != null) {
                  prior.load(t, sum);
                }
                addGradient(rules, g, v, sum);
                to.store(t, sum);
                Arrays.fill(sum, 0);
              }
            }
          });
    }

    /** Adds to a token's sum what flows back: of values the gradient as it is. */
    private void addGradient(RmsNorm.Row[] rules, float[] g, float[] v, float[] sum) {
      int at = addGradient(rules[0], 0, heads, query.width(), g, v, sum);
      at = addGradient(rules[1], at, keyValueHeads, key.width(), g, v, sum);
      for (int c = at; c < g.length; c++) {
        sum[c] += g[c];
      }
    }

    /** Of heads side by side from {@code first} on; returns where they end. */
    private int addGradient(
        RmsNorm.Row rule, int first, int count, int d, float[] g, float[] v, float[] sum) {
      float[] headG = new float[d];
      float[] headV = new float[d];
      float[] headSum = new float[d];
      for (int at = first; at < first + count * d; at += d) {
        System.arraycopy(g, at, headG, 0, d);
        System.arraycopy(v, at, headV, 0, d);
        System.arraycopy(sum, at, headSum, 0, d);
        rule.addGradient(headG, headV, headSum);
        System.arraycopy(headSum, 0, sum, at, d);
      }
      return first + count * d;
    }

    /**
     * The gradient of a trained weight, over some heads of every token, each a row.
     *
     * @param first column where they begin
     */
    private void accumulate(RmsNorm norm, int first, int count, Tensor dy) {
      if (!norm.isTrained()) {
        return;
      }
      try (Tensor grads = rows(dy, first, count, norm.width());
          Tensor values = rows(x, first, count, norm.width())) {
        norm.accumulate(grads, values);
      }
    }

    /** Some heads of every token, copied to {@code [N·count, d]}. */
    private Tensor rows(Tensor tokens, int first, int count, int d) {
      try (Tensor part = tokens.narrow(1, first, (long) count * d);
          Tensor dense = Tensor.empty(part.device(), part.dtype(), part.shape())) {
        dense.copyFrom(part);
        return dense.view(tokens.size(0) * count, d);
      }
    }
  }
}
