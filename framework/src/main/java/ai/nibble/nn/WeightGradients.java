package ai.nibble.nn;

import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * Gradients of trained weights, {@code dW = dyᵀ·x} and {@code db = Σ dy}, added to float32 buffers.
 * A float32 product adds into the buffer itself; a bfloat16 product is rounded once before it is
 * added, as automatic mixed precision does it.
 */
final class WeightGradients {
  private WeightGradients() {}

  /**
   * Adds the gradients of a group's trained members.
   *
   * @param x {@code [N, in]} in the compute dtype
   * @param dy {@code [N, sum of out]} in the product's dtype
   */
  static void accumulate(LinearGroup group, Tensor x, Tensor dy, Workspace work) {
    try (Scope scope = new Scope()) {
      Tensor input = x;
      if (x.dtype() != dy.dtype()) {
        input = scope.own(work.get(Purpose.INPUT, dy.dtype(), x.shape())).copyFrom(x);
      }
      // a product that must be rounded is made for all members at once
      Tensor all = null;
      if (dy.dtype() != DType.FLOAT32) {
        all = scope.own(work.get(Purpose.WEIGHT_GRAD, dy.dtype(), dy.size(1), x.size(1)));
        Ops.mm(all, scope.own(dy.t()), input);
      }
      long column = 0;
      for (Linear member : group.members()) {
        long out = member.weight().outFeatures();
        if (member.weight().parameter().isPresent()) {
          Tensor grad = member.weight().parameter().get().grad();
          if (all != null) {
            add(grad, scope.own(all.narrow(0, column, out)), 1);
          } else {
            addProduct(grad, scope.own(dy.narrow(1, column, out)), input, work);
          }
        }
        if (member.trainedBias().isPresent()) {
          addColumnSums(member.trainedBias().get().grad(), dy, (int) column);
        }
        column += out;
      }
    }
  }

  /**
   * {@code grad += dyᵀ·x}.
   *
   * @param grad float32 {@code [out, in]}
   * @param dy {@code [N, out]}; rows may be apart
   * @param x {@code [N, in]} of dy's dtype
   */
  static void addProduct(Tensor grad, Tensor dy, Tensor x, Workspace work) {
    try (Tensor transposed = dy.t()) {
      if (dy.dtype() == DType.FLOAT32) {
        Ops.addmm(grad, transposed, x, 1, 1);
        return;
      }
      try (Tensor product = work.get(Purpose.WEIGHT_GRAD, dy.dtype(), grad.shape())) {
        add(grad, Ops.mm(product, transposed, x), 1);
      }
    }
  }

  /** {@code grad += scale · gradient}, matrices; the gradient may be bfloat16. */
  static void add(Tensor grad, Tensor gradient, float scale) {
    if (Kernels.serve(grad)) {
      ElementwiseKernels.addScaled(grad, gradient, gradient.stride(0), scale);
      return;
    }
    int width = (int) grad.size(1);
    Parallel.forRanges(
        grad.size(0),
        Rows.grain(width),
        (begin, end) -> {
          try (Rows sums = Rows.updating(grad, begin, end);
              Rows more = Rows.reading(gradient, begin, end)) {
            float[] sum = new float[width];
            float[] row = new float[width];
            for (long r = begin; r < end; r++) {
              sums.load(r, sum);
              more.load(r, row);
              for (int c = 0; c < width; c++) {
                sum[c] += scale * row[c];
              }
              sums.store(r, sum);
            }
          }
        });
  }

  /** Adds the sums of dy's columns from {@code column} on to a vector. */
  private static void addColumnSums(Tensor grad, Tensor dy, int column) {
    if (Kernels.serve(grad)) {
      ElementwiseKernels.columnSums(grad, dy, dy.stride(0), column);
      return;
    }
    int out = (int) grad.size(0);
    ColumnSums sums = new ColumnSums(dy.size(0), Rows.grain(out), out);
    Parallel.forRanges(
        dy.size(0),
        Rows.grain(out),
        (begin, end) -> {
          try (Rows rows = Rows.reading(dy, begin, end, column, out)) {
            float[] sum = sums.of(begin);
            float[] row = new float[out];
            for (long r = begin; r < end; r++) {
              rows.load(r, row);
              for (int c = 0; c < out; c++) {
                sum[c] += row[c];
              }
            }
          }
        });
    sums.addTo(grad);
  }
}
