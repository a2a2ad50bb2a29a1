package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code grouped.cu}. */
public final class Grouped {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of("grouped4", Grouped::codes4, "grouped8", Grouped::codes8);

  private static final int CODES = 16;

  private Grouped() {}

  /** Rows of scales or zeros, float32. */
  private static Tensor rows(Aten at, Tensor values, long begin, long count, long groups) {
    return at.view(
        at.floats(at.narrow(at.flat(values), 0, begin * groups, count * groups)), count, groups);
  }

  private static void codes4(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor packed = arguments.skip(1).tensor();
    Tensor scales = arguments.tensor();
    Tensor zeros = arguments.tensorOrNull();
    long zero = arguments.whole();
    Tensor places = arguments.tensorOrNull();
    long size = 1L << arguments.whole();
    long columns = arguments.whole();
    long groups = columns / size;
    Parts.ofLightRows(
        out.size(0),
        columns,
        (at, begin, count) -> {
          Tensor bytes = at.narrow(at.flat(packed), 0, begin * columns / 2, count * columns / 2);
          Tensor pairs = at.indexSelect(nibbles(at, packed), 0, at.as(bytes, DType.INT32));
          Tensor codes = at.view(pairs, count, groups, size);
          Tensor from =
              zeros == null
                  ? at.number(codes, zero)
                  : at.view(rows(at, zeros, begin, count, groups), count, groups, 1);
          Tensor scale = at.view(rows(at, scales, begin, count, groups), count, groups, 1);
          Tensor values = at.view(at.mul(at.sub(codes, from), scale), count, columns);
          at.narrow(out, 0, begin, count)
              .copyFrom(places == null ? values : at.indexSelect(values, 1, places));
        });
  }

  /** Both nibbles of each byte, the high one first. */
  private static Tensor nibbles(Aten at, Tensor beside) {
    float[] pairs = new float[2 * CODES * CODES];
    for (int b = 0; b < CODES * CODES; b++) {
      pairs[2 * b] = b / CODES;
      pairs[2 * b + 1] = b % CODES;
    }
    return at.values(beside, pairs, CODES * CODES, 2);
  }

  private static void codes8(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor codes = arguments.skip(1).tensor();
    Tensor scales = arguments.tensor();
    Tensor zeros = arguments.tensor();
    Tensor groupOf = arguments.tensor();
    long groups = arguments.whole();
    Parts.ofLightRows(
        out.size(0),
        out.size(1),
        (at, begin, count) -> {
          Tensor zero = at.indexSelect(rows(at, zeros, begin, count, groups), 1, groupOf);
          Tensor scale = at.indexSelect(rows(at, scales, begin, count, groups), 1, groupOf);
          Tensor code = at.floats(at.narrow(codes, 0, begin, count));
          at.narrow(out, 0, begin, count).copyFrom(at.mul(at.sub(code, zero), scale));
        });
  }
}
