package ai.nibble.cuda.composed;

import ai.nibble.cuda.Code4;
import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernel of {@code quantize4.cu}. */
public final class Quantize4 {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS = Map.of("quantize4", Quantize4::run);

  private static final int HIGH_NIBBLE = 16;

  private Quantize4() {}

  private static void run(KernelArguments arguments) {
    Tensor packed = arguments.tensor();
    Tensor absmax = arguments.tensor();
    Tensor in = arguments.tensor();
    Code4 code = Codes4.of(arguments.whole());
    long size = 1L << arguments.whole();
    long n = arguments.whole();
    Parts.ofBlocks(
        n,
        size,
        (at, begin, count, width) -> {
          Tensor part = at.narrow(at.flat(in), 0, begin, count * width);
          Tensor x = at.view(at.floats(part), count, width);
          Tensor greatest = at.max(at.map("abs", x));
          Tensor tiny = at.compare("lt", greatest, 1e-38f);
          Tensor divisor = at.where(tiny, at.number(greatest, 1e-38f), greatest);
          // as bitsandbytes: a full block by the reciprocal, a short one divided, and its absmax
          // kept
          // as it was divided by
          boolean full = width == size;
          Tensor relative = full ? at.mul(x, at.map("reciprocal", divisor)) : at.div(x, divisor);
          Tensor kept = full ? greatest : divisor;
          at.narrow(at.flat(absmax), 0, begin / size, count).copyFrom(at.flat(kept));
          at.narrow(at.flat(packed), 0, begin / 2, (count * width + 1) / 2)
              .copyFrom(bytes(at, code, relative));
        });
  }

  /** Two codes a byte, the first in the high nibble; behind the last the code of zero. */
  private static Tensor bytes(Aten at, Code4 code, Tensor relative) {
    long n = relative.numel();
    Tensor even = relative;
    if (n % 2 == 1) {
      even = at.empty(relative, DType.FLOAT32, n + 1).zero();
      at.narrow(even, 0, 0, n).copyFrom(at.flat(relative));
    }
    Tensor pairs = at.view(even, (n + 1) / 2, 2);
    Tensor ranks = at.countBelow(pairs, Codes4.thresholds(code, at, relative), false);
    Tensor codes = at.lookUp(Codes4.codesOfRanks(code, at, relative), ranks);
    Tensor high = at.mul(at.narrow(codes, 1, 0, 1), HIGH_NIBBLE);
    return at.flat(at.add(high, at.narrow(codes, 1, 1, 1)));
  }
}
