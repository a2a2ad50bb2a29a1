package ai.nibble.nn;

import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.Tensor;
import java.util.List;

/**
 * The definition in loops and double precision, over CPU tensors. It wants what the kernels of
 * libtorch want: as many heads of keys as of queries, D a multiple of 8.
 */
final class ReferenceFusedAttention implements FusedAttention {
  private static final int UNIT = 8;

  /** Values of {@code [N, heads, D]}, wherever they lie. */
  private record Heads(float[] values, int heads, int d) {
    static Heads of(Tensor t) {
      if (t.dim() != 3 || t.size(2) % UNIT != 0 || t.stride(2) != 1) {
        throw new IllegalArgumentException("no kernel takes " + t);
      }
      return new Heads(t.toFloats(), (int) t.size(1), (int) t.size(2));
    }

    int at(int token, int head) {
      return (token * heads + head) * d;
    }
  }

  private static int[] ints(Tensor starts) {
    int[] values = new int[(int) starts.numel()];
    starts.bytes(0, 4 * values.length).asIntBuffer().get(values);
    return values;
  }

  /** Visits each query with its keys: their first, how many, and their probabilities. */
  private interface Row {
    void visit(int query, int head, int firstKey, double[] probabilities);
  }

  private static void rows(
      Heads q, Heads k, Sequences queries, Sequences keys, Scores scores, Row row) {
    if (q.heads != k.heads || q.d != k.d || queries.starts().numel() != keys.starts().numel()) {
      throw new IllegalArgumentException("heads of queries and keys differ");
    }
    int[] from = ints(queries.starts());
    int[] keysFrom = ints(keys.starts());
    for (int s = 0; s + 1 < from.length; s++) {
      int length = from[s + 1] - from[s];
      int keyCount = keysFrom[s + 1] - keysFrom[s];
      if (length > queries.longest() || keyCount > keys.longest() || keyCount < length) {
        throw new IllegalArgumentException("a sequence is longer than the longest");
      }
      for (int t = 0; t < length; t++) {
        for (int h = 0; h < q.heads; h++) {
          double[] p = new double[keyCount - length + t + 1];
          double sum = 0;
          for (int j = 0; j < p.length; j++) {
            double dot = 0;
            for (int e = 0; e < q.d; e++) {
              dot +=
                  (double) q.values[q.at(from[s] + t, h) + e]
                      * k.values[k.at(keysFrom[s] + j, h) + e];
            }
            boolean seen = scores.window() == 0 || j >= p.length - scores.window();
            p[j] = seen ? Math.exp(dot * scores.scale()) : 0;
            sum += p[j];
          }
          for (int j = 0; j < p.length; j++) {
            p[j] /= sum;
          }
          row.visit(from[s] + t, h, keysFrom[s], p);
        }
      }
    }
  }

  private static Tensor tensor(float[] values, Tensor like) {
    try (Tensor wide = Tensor.of(values, like.shape())) {
      return wide.to(like.dtype());
    }
  }

  @Override
  public Result forward(
      Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, Scores scores) {
    Heads value = Heads.of(v);
    Heads query = Heads.of(q);
    float[] out = new float[query.values.length];
    rows(
        query,
        Heads.of(k),
        queries,
        keys,
        scores,
        (t, h, first, p) -> {
          for (int e = 0; e < value.d; e++) {
            double sum = 0;
            for (int j = 0; j < p.length; j++) {
              sum += p[j] * value.values[value.at(first + j, h) + e];
            }
            out[query.at(t, h) + e] = (float) sum;
          }
        });
    return new Result(tensor(out, q), List.of(Tensor.of(new float[] {1}, 1)));
  }

  @Override
  public Gradients backward(
      Tensor gradOutput,
      Tensor q,
      Tensor k,
      Tensor v,
      Result forward,
      Sequences sequences,
      Scores scores) {
    if (forward.aside().size() != 1 || Heads.of(forward.output()).d != q.size(2)) {
      throw new IllegalArgumentException("not what forward gave");
    }
    Heads query = Heads.of(q);
    Heads key = Heads.of(k);
    Heads value = Heads.of(v);
    Heads grad = Heads.of(gradOutput);
    float[] dq = new float[query.values.length];
    float[] dk = new float[key.values.length];
    float[] dv = new float[value.values.length];
    rows(
        query,
        key,
        sequences,
        sequences,
        scores,
        (t, h, first, p) -> {
          double[] dp = new double[p.length];
          double mean = 0;
          for (int j = 0; j < p.length; j++) {
            for (int e = 0; e < query.d; e++) {
              float g = grad.values[grad.at(t, h) + e];
              dp[j] += (double) g * value.values[value.at(first + j, h) + e];
              dv[value.at(first + j, h) + e] += (float) (p[j] * g);
            }
            mean += p[j] * dp[j];
          }
          for (int j = 0; j < p.length; j++) {
            double ds = p[j] * (dp[j] - mean) * scores.scale();
            for (int e = 0; e < query.d; e++) {
              dq[query.at(t, h) + e] += (float) (ds * key.values[key.at(first + j, h) + e]);
              dk[key.at(first + j, h) + e] += (float) (ds * query.values[query.at(t, h) + e]);
            }
          }
        });
    return new Gradients(tensor(dq, q), tensor(dk, k), tensor(dv, v));
  }
}
