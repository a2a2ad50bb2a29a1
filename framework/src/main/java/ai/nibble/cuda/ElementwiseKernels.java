package ai.nibble.cuda;

import ai.nibble.cuda.composed.Elementwise;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * What is done element by element or row by row, each in one pass. T is float32, bfloat16 or
 * float16; sums are float32 and are rounded once.
 */
public final class ElementwiseKernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(ElementwiseKernels.class, "types.cuh", "rows.cuh", "elementwise.cu")
          .composedAs(Elementwise.KERNELS);

  private ElementwiseKernels() {}

  /** {@code out = a + b}, all of one shape and T; out may be a or b. */
  public static void add(Tensor out, Tensor a, Tensor b) {
    Operands operands =
        Operands.like("add", "out", out).typed("a", a, out.shape()).typed("b", b, out.shape());
    Grid grid = Grids.flat(out.numel(), out.dtype());
    operands.launchTyped(PROGRAM, "add", grid, out, a, b, out.numel());
  }

  /** {@code x = scale·x}, x of T and contiguous. */
  public static void scale(Tensor x, double scale) {
    Operands operands = Operands.like("scale", "x", x);
    Grid grid = Grids.flat(x.numel(), x.dtype());
    operands.launchTyped(PROGRAM, "scale", grid, x, x.numel(), (float) scale);
  }

  /**
   * {@code y += bias} in every row.
   *
   * @param y {@code [N, W]} of T
   * @param bias float32 {@code [W]}
   */
  public static void addBias(Tensor y, Tensor bias) {
    Operands operands = Operands.like("add_bias", "y", y).dimensions("y", y, 2);
    int width = operands.width("y", y.size(1));
    operands.require("bias", bias, DType.FLOAT32, width);
    Grid grid = Grids.rows(y.size(0), width, y.dtype());
    operands.launchTyped(PROGRAM, "add_bias", grid, y, bias, width);
  }

  /**
   * {@code grad += scale·gradient}; the product is rounded to float32 before it is added.
   *
   * @param grad float32, a matrix {@code [R, W]} or a vector {@code [W]}
   * @param gradient of T and grad's shape
   * @param rowStride elements from one row of the gradient to the next, W or more
   */
  public static void addScaled(Tensor grad, Tensor gradient, long rowStride, double scale) {
    Operands operands = strided("add_scaled", "gradient", gradient, rowStride);
    operands.require("grad", grad, DType.FLOAT32, gradient.shape());
    long width = grad.size(-1);
    long rows = grad.dim() == 1 ? 1 : grad.size(0);
    operands.launchTyped(
        PROGRAM,
        "add_scaled",
        Grids.rows(rows, width, gradient.dtype()),
        grad,
        gradient,
        width,
        rowStride,
        (float) scale);
  }

  /**
   * Puts rows to their places and zeros to all others.
   *
   * @param out {@code [N, H]} of T, all of which is written
   * @param rows {@code [M, H]} of T
   * @param index int64 {@code [M]}: which row of out each becomes; ascending and distinct, below N
   */
  public static void scatterRows(Tensor out, Tensor rows, Tensor index) {
    Operands operands =
        Operands.like("scatter_rows", "out", out)
            .dimensions("out", out, 2)
            .dimensions("rows", rows, 2);
    int width = operands.width("out", out.size(1));
    operands
        .typed("rows", rows, rows.size(0), width)
        .require("index", index, DType.INT64, rows.size(0));
    operands.launchTyped(
        PROGRAM,
        "scatter_rows",
        Grids.rows(out.size(0), width, out.dtype()),
        out,
        rows,
        index,
        rows.size(0),
        width);
  }

  /**
   * Adds the sums of columns {@code [column, column + W)} over the rows; the same bits every time.
   * Allocates 128·W float32 or less while it is queued.
   *
   * @param grad float32 {@code [W]}
   * @param dy {@code [N, …]} of T
   * @param rowStride elements from one row of dy to the next
   */
  public static void columnSums(Tensor grad, Tensor dy, long rowStride, int column) {
    Operands operands = strided("column_sums", "dy", dy, rowStride).dimensions("dy", dy, 2);
    int width = operands.width("grad", grad.numel());
    operands
        .require("grad", grad, DType.FLOAT32, width)
        .number(
            "column",
            column,
            column >= 0 && (long) column + width <= dy.size(1),
            "0 to " + (dy.size(1) - width));
    ColumnSums.add(operands, grad, dy, rowStride, column);
  }

  /**
   * Adds each row's gradient, multiplied, to its token's, in the order of the positions; products
   * are rounded to float32 before they are added.
   *
   * @param grad float32 {@code [V, H]}
   * @param dy {@code [N, H]} of T
   * @param positions int32 {@code [N]}, rows of dy sorted by their token
   * @param starts int32 {@code [V + 1]}, where each token's positions begin
   */
  public static void embeddingGradient(
      Tensor grad, Tensor dy, Tensor positions, Tensor starts, double scale) {
    Operands operands =
        Operands.like("embedding_gradient", "dy", dy)
            .dimensions("dy", dy, 2)
            .dimensions("grad", grad, 2);
    int width = operands.width("dy", dy.size(1));
    operands
        .require("grad", grad, DType.FLOAT32, grad.size(0), width)
        .require("positions", positions, DType.INT32, dy.size(0))
        .require("starts", starts, DType.INT32, grad.size(0) + 1);
    operands.launchTyped(
        PROGRAM,
        "embedding_gradient",
        Grids.rows(grad.size(0), width, dy.dtype()),
        grad,
        dy,
        positions,
        starts,
        width,
        (float) scale);
  }

  /**
   * Adds rows up in groups, in order, and leaves columns beyond out's away: the gradient of rows
   * that were repeated and padded.
   *
   * @param out {@code [R, W]} of T
   * @param rows {@code [R·group, P]} of T, P at least W
   * @param group rows that follow each other, at least 1
   */
  public static void sumGroups(Tensor out, Tensor rows, int group) {
    Operands operands =
        Operands.like("sum_groups", "out", out)
            .dimensions("out", out, 2)
            .dimensions("rows", rows, 2)
            .number("group", group, group >= 1, "1 or more");
    int width = operands.width("out", out.size(1));
    int wide = operands.width("rows", rows.size(1));
    operands
        .number("P", wide, wide >= width, width + " or more")
        .typed("rows", rows, out.size(0) * group, wide);
    operands.launchTyped(
        PROGRAM,
        "sum_groups",
        Grids.rows(out.size(0), width, out.dtype()),
        out,
        rows,
        group,
        width,
        wide);
  }

  /** A matrix with rows apart, or a vector. */
  private static Operands strided(String operation, String name, Tensor t, long rowStride) {
    boolean matrix = t.dim() == 2;
    boolean follows =
        (t.dim() == 1 || matrix)
            && (t.size(-1) == 1 || t.stride(t.dim() - 1) == 1)
            && rowStride >= t.size(-1)
            && (!matrix || t.size(0) == 1 || t.stride(0) == rowStride);
    return Operands.strided(operation, name, t, follows, "rows " + rowStride + " elements apart");
  }
}
