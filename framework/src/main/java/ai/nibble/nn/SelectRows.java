package ai.nibble.nn;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Tensor;

/** Some rows of {@code [N, hidden]}, to be differentiated each at most once; saves nothing. */
public final class SelectRows extends Function {
  private final int[] rows;
  private long total;

  /**
   * @param rows ascending; in inference in any order, and one may come again
   */
  public SelectRows(int[] rows) {
    this.rows = rows.clone();
  }

  /** What selecting so many rows holds. */
  public static Footprint footprint(Extent extent, int hidden, int rows) {
    return Footprint.of(extent.compute(rows, hidden))
        .inForward(extent.bytes(DType.INT64, rows))
        .inBackward(0, 0, extent.compute(extent.tokens(), hidden));
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    total = inputs[0].size(0);
    Tensor x = inputs[0];
    Tensor out = Tensor.empty(x.device(), x.dtype(), rows.length, x.size(1));
    try (Tensor index = Tensor.ofIndices(x.device(), rows)) {
      return new Tensor[] {Ops.indexSelect(out, x, index)};
    }
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    Tensor grad = gradOutputs[0];
    Tensor result = Tensor.empty(grad.device(), grad.dtype(), total, grad.size(1)).zero();
    if (Kernels.serve(grad)) {
      try (Tensor index = Tensor.ofIndices(grad.device(), rows)) {
        ElementwiseKernels.scatterRows(result, grad, index);
      }
      gradients.add(0, result);
      return;
    }
    Parallel.forRanges(
        rows.length,
        256,
        (begin, end) -> {
          for (long r = begin; r < end; r++) {
            try (Tensor from = grad.narrow(0, r, 1);
                Tensor to = result.narrow(0, rows[(int) r], 1)) {
              to.copyFrom(from);
            }
          }
        });
    gradients.add(0, result);
  }
}
