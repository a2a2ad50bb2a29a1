package ai.nibble.nn;

import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * Any heads for a kernel that wants as many of keys and values as of queries, each of a multiple of
 * some number of elements: a key's or value's head is repeated for its query heads, and heads are
 * padded with zeros, which add nothing to a score. Gradients of what was repeated are added in
 * order.
 */
final class ExpandedHeads implements FusedAttention {
  private final FusedAttention kernel;
  private final int unit;

  /**
   * @param unit what D is padded to a multiple of
   */
  ExpandedHeads(FusedAttention kernel, int unit) {
    this.kernel = kernel;
    this.unit = unit;
  }

  @Override
  public Result forward(
      Tensor q, Tensor k, Tensor v, Sequences queries, Sequences keys, Scores scores) {
    int group = group(q, k);
    try (Tensor wideQ = expanded(q, 1);
        Tensor wideK = expanded(k, group);
        Tensor wideV = expanded(v, group)) {
      Result wide = kernel.forward(wideQ, wideK, wideV, queries, keys, scores);
      if (wide.output().size(2) == q.size(2)) {
        return wide;
      }
      try (Tensor output = wide.output();
          Tensor unpadded = output.narrow(2, 0, q.size(2))) {
        return new Result(unpadded.to(unpadded.dtype()), wide.aside());
      } catch (RuntimeException e) {
        wide.aside().forEach(Tensor::close);
        throw e;
      }
    }
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
    int group = group(q, k);
    try (Scope scope = new Scope()) {
      // the padding of the output is zeros, as that of the values is
      Tensor output = scope.own(expanded(forward.output(), 1));
      Gradients wide =
          scope.own(
              kernel.backward(
                  scope.own(expanded(gradOutput, 1)),
                  scope.own(expanded(q, 1)),
                  scope.own(expanded(k, group)),
                  scope.own(expanded(v, group)),
                  new Result(output, forward.aside()),
                  sequences,
                  scores));
      return summed(wide, group, q.size(2));
    }
  }

  private static Gradients summed(Gradients wide, int group, long d) {
    try (Scope made = new Scope()) {
      Gradients gradients =
          new Gradients(
              made.own(summed(wide.dq(), 1, d)),
              made.own(summed(wide.dk(), group, d)),
              made.own(summed(wide.dv(), group, d)));
      made.release();
      return gradients;
    }
  }

  private static int group(Tensor q, Tensor k) {
    return Math.toIntExact(q.size(1) / k.size(1));
  }

  /** {@code [N, heads·group, P]} of {@code [N, heads, D]}: itself where that is the same. */
  private Tensor expanded(Tensor heads, int group) {
    long n = heads.size(0);
    long h = heads.size(1);
    long d = heads.size(2);
    long p = (d + unit - 1) / unit * unit;
    if (group == 1 && p == d) {
      return heads.share();
    }
    try (Tensor wide = Tensor.empty(heads.device(), heads.dtype(), n, h, group, p)) {
      if (p > d) {
        wide.zero();
      }
      long[] repeated = {n, h, group, d};
      long[] strides = {heads.stride(0), heads.stride(1), 0, heads.stride(2)};
      try (Tensor to = wide.narrow(3, 0, d);
          Tensor from = heads.asStrided(repeated, strides, 0)) {
        to.copyFrom(from);
      }
      return wide.view(n, h * group, p);
    }
  }

  /** The gradient {@code [N, heads, D]} of what {@link #expanded} read. */
  private static Tensor summed(Tensor wide, int group, long d) {
    if (group == 1 && wide.size(2) == d) {
      return wide.share();
    }
    long n = wide.size(0);
    long h = wide.size(1) / group;
    Tensor sum = Tensor.empty(wide.device(), wide.dtype(), n, h, d);
    try (Tensor rows = wide.view(n * h * group, wide.size(2));
        Tensor to = sum.view(n * h, d)) {
      ElementwiseKernels.sumGroups(to, rows, group);
      return sum;
    } catch (RuntimeException e) {
      sum.close();
      throw e;
    }
  }
}
