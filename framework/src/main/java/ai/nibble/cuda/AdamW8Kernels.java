package ai.nibble.cuda;

import ai.nibble.cuda.composed.AdamW8;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;

/**
 * AdamW whose two moments are kept in 8 bits, block-wise as in bitsandbytes (Dettmers et al. 2022):
 * each moment is {@code map[code]·absmax}, absmax the greatest magnitude of its block of 256
 * elements.
 */
public final class AdamW8Kernels {
  /** Elements that share a greatest magnitude. */
  public static final int BLOCK = 256;

  static final CudaProgram PROGRAM =
      CudaProgram.of(AdamW8Kernels.class, "types.cuh", "adamw.cuh", "adamw8.cu")
          .composedAs(AdamW8.KERNELS);

  private static final int MAP = 256;
  private static final int THREADS = 256;

  /** Blocks of elements that a block of threads takes in turn, each after reading both maps. */
  private static final int BLOCKS_A_GRID_BLOCK = 4 * THREADS / 32;

  private AdamW8Kernels() {}

  /**
   * A moment in 8 bits.
   *
   * @param codes uint8 {@code [n]}, indices into the map
   * @param absmax float32 {@code [⌈n/256⌉]}
   * @param map float32 {@code [256]}, ascending
   */
  public record Moment(Tensor codes, Tensor absmax, Tensor map) {}

  /**
   * One update: {@link OptimizerKernels#adamW} on the moments decoded; then both go back to the
   * nearest codes under their blocks' new greatest magnitudes, the first never to one of the other
   * sign. Where {@code factor[1]} is 0 nothing is written.
   *
   * @param param float32
   * @param grad float32, as long; is multiplied by {@code factor[0]} as it is read
   * @param first with a signed map
   * @param second with an unsigned one
   * @param factor float32 {@code [2]} of {@link OptimizerKernels#clipFactor}
   */
  public static void update(
      Tensor param,
      Tensor grad,
      Moment first,
      Moment second,
      Tensor factor,
      AdamWConstants constants) {
    Operands operands =
        Operands.like("adamw8", "param", param)
            .require("param", param, DType.FLOAT32, param.shape());
    long n = param.numel();
    operands.flat("grad", grad, DType.FLOAT32, n).require("factor", factor, DType.FLOAT32, 2);
    require(operands, "first", first, n);
    require(operands, "second", second, n);
    operands.launch(
        PROGRAM,
        "adamw8",
        Grid.covering(n, (long) BLOCK * BLOCKS_A_GRID_BLOCK, THREADS),
        param,
        grad,
        first.codes(),
        second.codes(),
        first.absmax(),
        second.absmax(),
        first.map(),
        second.map(),
        factor,
        n,
        constants.decay(),
        constants.weight1(),
        constants.beta2(),
        constants.weight2(),
        constants.correction2(),
        constants.eps(),
        constants.negativeStepSize());
  }

  private static void require(Operands operands, String name, Moment moment, long n) {
    operands
        .flat(name + ".codes", moment.codes(), DType.UINT8, n)
        .require(name + ".absmax", moment.absmax(), DType.FLOAT32, (n + BLOCK - 1) / BLOCK)
        .require(name + ".map", moment.map(), DType.FLOAT32, MAP);
  }
}
