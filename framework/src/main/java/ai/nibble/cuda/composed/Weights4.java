package ai.nibble.cuda.composed;

import ai.nibble.cuda.Code4;
import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code dequantize4.cu} and {@code product4.cu}. */
public final class Weights4 {
  /** Those of {@code dequantize4.cu}, by name. */
  public static final Map<String, ComposedKernel> DEQUANTIZE =
      Map.of("dequantize4", Weights4::dequantize);

  /** Those of {@code product4.cu}, by name; two ways to the same. */
  public static final Map<String, ComposedKernel> PRODUCT =
      Map.of("product4", Weights4::product, "product4_any", Weights4::product);

  /** Blocks that share a second-level absmax. */
  private static final int NESTED_BLOCK = 256;

  private Weights4() {}

  /**
   * A weight as the kernels have it.
   *
   * @param packed uint8, the even element in the high nibble
   * @param absmax float32 of each block, or its byte
   * @param absmax2 null where absmax is float32
   * @param map of the bytes
   * @param offset of the absmax that map and absmax2 give
   * @param code what the codes stand for
   */
  private record Weight(
      Tensor packed,
      Tensor absmax,
      Tensor absmax2,
      Tensor map,
      float offset,
      Code4 code,
      int blockShift) {
    static Weight next(KernelArguments arguments) {
      return new Weight(
          arguments.tensor(),
          arguments.tensor(),
          arguments.tensorOrNull(),
          arguments.tensorOrNull(),
          arguments.real(),
          Codes4.of(arguments.whole()),
          (int) arguments.whole());
    }

    /** Absmax of some blocks, float32. */
    private Tensor absmax(Aten at, long first, long count) {
      Tensor own = at.narrow(at.flat(absmax), 0, first, count);
      if (absmax2 == null) {
        return own;
      }
      long level = first / NESTED_BLOCK;
      long levels = (first + count - 1) / NESTED_BLOCK + 1 - level;
      Tensor second = at.narrow(at.flat(absmax2), 0, level, levels);
      Tensor each = at.empty(own, DType.FLOAT32, levels, NESTED_BLOCK);
      each.copyFrom(at.own(second.asStrided(each.shape(), new long[] {1, 0}, 0)));
      Tensor factors = at.narrow(at.flat(each), 0, first - level * NESTED_BLOCK, count);
      Tensor relative = at.lookUp(at.flat(map), at.longs(own));
      return at.add(at.mul(relative, factors), offset);
    }

    /** Elements {@code [begin, begin + count)} of the flat weight, float32. */
    Tensor values(Aten at, long begin, long count, long numel) {
      long size = 1L << blockShift;
      long first = begin / size; // blocks are taken whole, but for the weight's last
      long from = first * size;
      long to = Math.min(numel, (begin + count + size - 1) / size * size);
      Tensor absmax = absmax(at, first, (to - from + size - 1) / size);
      Tensor bytes = at.narrow(at.flat(packed), 0, from / 2, (to - from + 1) / 2);
      Tensor pairs = at.indexSelect(Codes4.pairs(code, at, packed), 0, at.as(bytes, DType.INT32));
      Tensor values = at.narrow(at.flat(pairs), 0, 0, to - from);
      long whole = (to - from) / size;
      if (whole > 0) {
        scale(at, at.view(at.narrow(values, 0, 0, whole * size), whole, size), absmax, 0);
      }
      long rest = to - from - whole * size;
      if (rest > 0) {
        scale(at, at.view(at.narrow(values, 0, whole * size, rest), 1, rest), absmax, whole);
      }
      return at.narrow(values, 0, begin - from, count);
    }

    /** Multiplies blocks in place by their absmax, the first of which has a number. */
    private static void scale(Aten at, Tensor blocks, Tensor absmax, long first) {
      long count = blocks.size(0);
      Ops.mul(blocks, blocks, at.view(at.narrow(absmax, 0, first, count), count, 1));
    }
  }

  private static void dequantize(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Weight weight = Weight.next(arguments.skip(1));
    long numel = arguments.whole();
    long begin = arguments.whole();
    if (out.isContiguous()) {
      Parts.ofLightRows(
          out.numel(),
          1,
          (at, first, count) ->
              at.narrow(at.flat(out), 0, first, count)
                  .copyFrom(weight.values(at, begin + first, count, numel)));
      return;
    }
    long columns = arguments.whole();
    Parts.ofLightRows(
        out.size(0),
        columns,
        (at, row, count) -> {
          Tensor values = weight.values(at, begin + row * columns, count * columns, numel);
          at.narrow(out, 0, row, count).copyFrom(at.view(values, count, columns));
        });
  }

  /** Values are rounded to x's dtype, as dequantising does; products and sums are float32. */
  private static void product(KernelArguments arguments) {
    Tensor y = arguments.tensor();
    Tensor x = arguments.skip(1).tensor();
    Weight weight = Weight.next(arguments.skip(2));
    long rows = arguments.whole();
    long columns = arguments.whole();
    try (Aten outer = new Aten()) {
      Tensor inputs = outer.floats(x);
      Parts.ofLightRows(
          rows,
          columns,
          (at, row, count) -> {
            Tensor values = weight.values(at, row * columns, count * columns, rows * columns);
            Tensor w = at.view(at.floats(at.as(values, x.dtype())), count, columns);
            Tensor sums = at.empty(x, DType.FLOAT32, x.size(0), count);
            Ops.mm(sums, inputs, at.own(w.t()));
            at.narrow(y, 1, row, count).copyFrom(sums);
          });
    }
  }
}
