package ai.nibble.cuda;

import ai.nibble.cuda.composed.Grouped;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;

/**
 * Dequantisation of weights in unsigned integer codes, of which a group of columns shares a scale
 * and a zero in each row: {@code (code − zero)·scale} in float32, rounded to nearest even.
 */
public final class GroupedKernels {
  static final CudaProgram PROGRAM =
      CudaProgram.of(GroupedKernels.class, "types.cuh", "rows.cuh", "grouped.cu")
          .composedAs(Grouped.KERNELS);

  private GroupedKernels() {}

  /**
   * Codes of 4 bits.
   *
   * @param packed uint8, out·in / 2 elements: element 2k of the row-major weight is the high nibble
   *     of byte k
   * @param blockSize columns that share a scale: a power of two from 32 to 4096 that divides in
   * @param scales float32, one a block
   * @param zeros uint8, one a block; null where all are {@code zero}
   * @param places int32 {@code [in]}: where each column is held; null where that is its own place
   */
  public record Codes4(
      Tensor packed, int blockSize, Tensor scales, Tensor zeros, int zero, Tensor places) {}

  /**
   * Codes of 8 bits.
   *
   * @param codes uint8 {@code [out, in]}
   * @param scales float32 {@code [out, groups]}
   * @param zeros uint8 {@code [out, groups]}
   * @param groupOf int32 {@code [in]}: the group of each column, below the number of groups, which
   *     is not checked: it is on the device
   */
  public record Codes8(Tensor codes, Tensor scales, Tensor zeros, Tensor groupOf) {}

  /**
   * Queues the dequantisation of a weight.
   *
   * @param out {@code [out, in]}, float32, bfloat16 or float16; its rows may lie apart, and what is
   *     between them stays
   * @throws TensorException where the parts do not fit each other
   */
  public static void dequantize(Tensor out, Codes4 codes) {
    Operands operands = operands(out);
    long elements = out.numel();
    Weight4.checkBlockSize("grouped", codes.blockSize);
    long in = out.size(1);
    operands
        .number("in", in, in % codes.blockSize == 0, "a multiple of " + codes.blockSize)
        .flat("packed", codes.packed, DType.UINT8, elements / 2)
        .flat("scales", codes.scales, DType.FLOAT32, elements / codes.blockSize);
    if (codes.zeros != null) {
      operands.flat("zeros", codes.zeros, DType.UINT8, codes.scales.numel());
    }
    if (codes.places != null) {
      operands.require("places", codes.places, DType.INT32, in);
    }
    operands.launchTyped(
        PROGRAM,
        "grouped4",
        Grids.rows(out.size(0), in, out.dtype()),
        out,
        Math.max(in, out.stride(0)),
        codes.packed,
        codes.scales,
        codes.zeros,
        codes.zero,
        codes.places,
        Integer.numberOfTrailingZeros(codes.blockSize),
        operands.width("out", in));
  }

  /**
   * As {@link #dequantize(Tensor, Codes4)}, of 8 bits.
   *
   * @throws TensorException where the parts do not fit each other
   */
  public static void dequantize(Tensor out, Codes8 codes) {
    Operands operands = operands(out);
    long rows = out.size(0);
    long in = out.size(1);
    operands
        .require("codes", codes.codes, DType.UINT8, rows, in)
        .dimensions("scales", codes.scales, 2);
    long groups = codes.scales.size(1);
    operands
        .require("scales", codes.scales, DType.FLOAT32, rows, groups)
        .require("zeros", codes.zeros, DType.UINT8, rows, groups)
        .require("groups", codes.groupOf, DType.INT32, in);
    operands.launchTyped(
        PROGRAM,
        "grouped8",
        Grids.rows(rows, in, out.dtype()),
        out,
        Math.max(in, out.stride(0)),
        codes.codes,
        codes.scales,
        codes.zeros,
        codes.groupOf,
        (int) groups,
        operands.width("out", in));
  }

  private static Operands operands(Tensor out) {
    boolean rows =
        out.dim() == 2
            && (out.stride(1) == 1 || out.size(1) == 1)
            && (out.size(0) <= 1 || out.stride(0) >= out.size(1));
    return Operands.strided("grouped", "out", out, rows, "contiguous rows");
  }
}
