package ai.nibble.cuda;

import ai.nibble.tensor.CudaProgram;
import java.util.List;

/** All CUDA programs, for whatever must see each of them, as the test that compiles them. */
public final class Programs {
  private Programs() {}

  /** Every program that a class of this package launches kernels of. */
  public static List<CudaProgram> all() {
    return List.of(
        Probe.PROGRAM,
        AdamW8Kernels.PROGRAM,
        RmsNormKernels.PROGRAM,
        ColumnSums.PROGRAM,
        RotaryKernels.PROGRAM,
        GatedKernels.PROGRAM,
        ElementwiseKernels.PROGRAM,
        LoraKernels.PROGRAM,
        CrossEntropyKernels.PROGRAM,
        OptimizerKernels.PROGRAM,
        CachedAttentionKernels.PROGRAM,
        ScoreKernels.PROGRAM,
        Weight4.DEQUANTIZE,
        Weight4.PRODUCT,
        ExpertKernels.PROGRAM,
        GroupedKernels.PROGRAM,
        Quantize4Kernels.PROGRAM,
        Int8Kernels.PROGRAM);
  }
}
