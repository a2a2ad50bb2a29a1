package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * The gradient of a span's keys or values: a sum of products, one a block of queries, of which each
 * reaches some further. A few of them add into the gradient itself, each rounding it to its dtype;
 * more are added in float32 and rounded once, or the last would be lost in the sum's rounding.
 */
final class BlockSum implements AutoCloseable {
  /** Products that may each round a sum shorter than float32. */
  private static final int MOST_ROUNDINGS = 8;

  private final Scope scope = new Scope();
  private final Tensor target;
  private final Tensor sum;
  private final Tensor product;

  /**
   * @param target zeros {@code [keys, D]}, of the products' dtype
   * @param blocks products to come
   */
  BlockSum(Tensor target, int blocks) {
    this.target = target;
    if (!isApart(target.dtype(), blocks)) {
      sum = null;
      product = null;
      return;
    }
    try {
      sum = scope.empty(target.device(), DType.FLOAT32, target.shape()).zero();
      product = scope.empty(target.device(), target.dtype(), target.shape());
    } catch (RuntimeException e) {
      scope.close();
      throw e;
    }
  }

  /** Whether products of a dtype are summed beside their target. */
  static boolean isApart(DType dtype, int blocks) {
    return dtype != DType.FLOAT32 && blocks > MOST_ROUNDINGS;
  }

  /**
   * Adds {@code scale · a·b} to the first rows.
   *
   * @param a {@code [rows, n]}
   * @param b {@code [n, D]}
   */
  void add(Tensor a, Tensor b, double scale) {
    long rows = a.size(0);
    if (sum == null) {
      try (Tensor part = target.narrow(0, 0, rows)) {
        Ops.addmm(part, a, b, 1, scale);
      }
      return;
    }
    try (Tensor part = sum.narrow(0, 0, rows);
        Tensor more = product.narrow(0, 0, rows)) {
      WeightGradients.add(part, Ops.mm(more, a, b), (float) scale);
    }
  }

  /** Brings the sum to the target, after the last product. */
  void finish() {
    if (sum != null) {
      target.copyFrom(sum);
    }
  }

  @Override
  public void close() {
    scope.close();
  }
}
