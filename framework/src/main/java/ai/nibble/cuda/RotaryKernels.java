package ai.nibble.cuda;

import ai.nibble.cuda.composed.Rotation;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;

/**
 * Rotary position embedding (Su et al. 2021) of queries and keys as projections write them, the two
 * halves of a head against each other. D is the elements of a head, of which the first R rotate and
 * the others stay; tables of cosines and sines are float32 {@code [P, R/2]}, and every position is
 * below P, which is not checked: positions are on the device.
 */
public final class RotaryKernels {
  private static final String NAME = "rotary";
  static final CudaProgram PROGRAM =
      CudaProgram.of(RotaryKernels.class, "types.cuh", "rows.cuh", "rotary.cuh", "rotary.cu")
          .composedAs(Rotation.KERNELS);

  private RotaryKernels() {}

  /**
   * Rotates queries and keys, and copies values.
   *
   * @param out {@code [N, (heads + 2·kv)·D]}; may be qkv itself
   * @param qkv {@code [N, (heads + 2·kv)·D]}, float32, bfloat16 or float16
   * @param positions int32 {@code [N]}
   */
  public static void rotate(
      Tensor out,
      Tensor qkv,
      Tensor positions,
      Tensor cos,
      Tensor sin,
      int heads,
      int keyValueHeads) {
    Operands operands = Operands.like(NAME, "qkv", qkv).dimensions("qkv", qkv, 2);
    int half = half(operands, cos, sin);
    long n = qkv.size(0);
    long all = heads + 2L * keyValueHeads;
    int headDim = headDim(operands, qkv.size(1) / all, half);
    long width = all * headDim;
    operands
        .typed("qkv", qkv, n, width)
        .typed("out", out, n, width)
        .require("positions", positions, DType.INT32, n);
    operands.launchTyped(
        PROGRAM,
        "rotary_rotate",
        Grids.wholeRows(n, operands.width("qkv", width) / 2, qkv.dtype()),
        out,
        qkv,
        positions,
        cos,
        sin,
        heads,
        keyValueHeads,
        half,
        headDim);
  }

  /**
   * Brings the gradients of rotated queries, rotated keys and values to the projections' layout,
   * rotated back.
   *
   * @param dqkv {@code [N, (heads + 2·kv)·D]}
   * @param dq {@code [N, heads, D]} of dqkv's dtype
   * @param dk {@code [N, kv, D]}
   * @param dv {@code [N, kv, D]}
   * @param positions int32 {@code [N]}
   */
  public static void gradient(
      Tensor dqkv, Tensor dq, Tensor dk, Tensor dv, Tensor positions, Tensor cos, Tensor sin) {
    Operands operands =
        Operands.like(NAME, "dqkv", dqkv)
            .dimensions("dqkv", dqkv, 2)
            .dimensions("dq", dq, 3)
            .dimensions("dk", dk, 3);
    int half = half(operands, cos, sin);
    long n = dqkv.size(0);
    long heads = dq.size(1);
    long keyValueHeads = dk.size(1);
    int headDim = headDim(operands, dq.size(2), half);
    long width = (heads + 2 * keyValueHeads) * headDim;
    operands
        .typed("dqkv", dqkv, n, width)
        .typed("dq", dq, n, heads, headDim)
        .typed("dk", dk, n, keyValueHeads, headDim)
        .typed("dv", dv, n, keyValueHeads, headDim)
        .require("positions", positions, DType.INT32, n);
    operands.launchTyped(
        PROGRAM,
        "rotary_gradient",
        Grids.wholeRows(n, operands.width("dqkv", width) / 2, dqkv.dtype()),
        dqkv,
        dq,
        dk,
        dv,
        positions,
        cos,
        sin,
        (int) heads,
        (int) keyValueHeads,
        half,
        headDim);
  }

  /** D, checked against the tables. */
  static int headDim(Operands operands, long headDim, int half) {
    String expected = 2L * half + " or more, twice the columns of 'cos'";
    operands.number("D", headDim, headDim >= 2L * half, expected);
    return operands.width("D", headDim);
  }

  /** R/2, by the tables, which are checked. */
  static int half(Operands operands, Tensor cos, Tensor sin) {
    operands.dimensions("cos", cos, 2).require("cos", cos, DType.FLOAT32, cos.shape());
    operands.require("sin", sin, DType.FLOAT32, cos.shape());
    return operands.width("cos", cos.size(1));
  }
}
