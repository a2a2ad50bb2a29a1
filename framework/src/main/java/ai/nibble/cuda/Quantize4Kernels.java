package ai.nibble.cuda;

import ai.nibble.cuda.composed.Quantize4;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;

/**
 * Quantisation to 4 bits on a device, with the bits that the CPU gives. The second level of double
 * quantisation stays on the host: its offset is a sum in index order, over a 64th of the elements.
 */
public final class Quantize4Kernels {
  private static final String NAME = "quantize4";

  static final CudaProgram PROGRAM =
      CudaProgram.of(Quantize4Kernels.class, "types.cuh", "codes4.cuh", "quantize4.cu")
          .composedAs(Quantize4.KERNELS);

  // As in quantize4.cu.
  private static final int THREADS = 512;
  private static final int PER_THREAD = 8;

  private Quantize4Kernels() {}

  /**
   * Queues the quantisation of a run of blocks.
   *
   * @param code NF4 or FP4
   * @param blockSize elements that share an absmax: a power of two from 32 to 4096
   * @param in float32, bfloat16 or float16, contiguous: values from the start of a block on
   * @param packed receives uint8, ceil(n / 2) elements
   * @param absmax receives float32, ceil(n / blockSize) elements; infinite or NaN where the block
   *     holds such a value, and its codes are of no use then
   * @throws TensorException where the tensors do not fit each other
   */
  public static void quantize(Code4 code, int blockSize, Tensor in, Tensor packed, Tensor absmax) {
    Weight4.checkBlockSize(NAME, blockSize);
    long n = in.numel();
    Operands.like(NAME, "in", in)
        .flat("packed", packed, DType.UINT8, n / 2 + n % 2)
        .flat("absmax", absmax, DType.FLOAT32, Weight4.blocks(n, blockSize))
        .launchTyped(
            PROGRAM,
            NAME,
            Grid.covering(n, (long) THREADS * PER_THREAD, THREADS),
            packed,
            absmax,
            in,
            code.ordinal(),
            Integer.numberOfTrailingZeros(blockSize),
            n);
  }
}
