package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernel of {@code probe.cu}. */
public final class Trial {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS = Map.of("probe", Trial::run);

  private Trial() {}

  private static void run(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor in = arguments.tensor();
    arguments.skip(1).tensorOrNull();
    long b = arguments.whole();
    float a = arguments.real();
    double c = arguments.wideReal();
    long d = arguments.whole();
    try (Aten at = new Aten()) {
      Tensor more = at.number(in, (float) (b + c + (double) d));
      out.copyFrom(at.fma(at.number(in, a), in, more));
    }
  }
}
