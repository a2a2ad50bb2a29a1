package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code int8.cu}. */
public final class Int8 {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "int8_quantize_rows", Int8::quantizeRows,
          "int8_zero_columns", Int8::zeroColumns,
          "int8_recover", Int8::recover,
          "int8_dequantize_rows", Int8::dequantizeRows);

  private static final int GREATEST = 127;

  private Int8() {}

  private static void quantizeRows(KernelArguments arguments) {
    Tensor q = arguments.tensor();
    Tensor absmax = arguments.tensor();
    Tensor outliers = arguments.tensorOrNull();
    Tensor in = arguments.tensor();
    float threshold = arguments.skip(1).real();
    Parts.ofRows(
        in.size(0),
        in.size(1),
        (at, begin, count) -> {
          Tensor x = at.floats(at.narrow(in, 0, begin, count));
          Tensor size = at.map("abs", x);
          if (threshold != 0) {
            Tensor inside = at.compare("lt", size, threshold);
            mark(at, outliers, inside);
            x = at.where(inside, x, 0);
            size = at.where(inside, size, 0);
          }
          Tensor greatest = at.max(size);
          at.narrow(absmax, 0, begin, count).copyFrom(at.flat(greatest));
          Tensor scale = at.mul(at.map("reciprocal", greatest), GREATEST);
          Tensor none = at.compare("lt", greatest, 1e-36f);
          Tensor scaled = at.mul(x, at.where(none, at.number(scale, 0), scale));
          at.narrow(q, 0, begin, count).copyFrom(at.map("round", scaled));
        });
  }

  /** Sets 1 for each column that holds a value which is not inside. */
  private static void mark(Aten at, Tensor outliers, Tensor inside) {
    Tensor outside = at.own(at.floats(at.map("logical_not", inside)).t());
    Tensor any = at.flat(at.floats(at.max(outside)));
    outliers.copyFrom(at.maximum(at.floats(outliers), any));
  }

  private static void zeroColumns(KernelArguments arguments) {
    Tensor q = arguments.tensor();
    Tensor outliers = arguments.tensor();
    Parts.ofRows(
        q.size(0),
        q.size(1),
        (at, begin, count) -> {
          Tensor rows = at.narrow(q, 0, begin, count);
          rows.copyFrom(at.mul(at.floats(rows), at.sub(1, at.floats(outliers))));
        });
  }

  private static void recover(KernelArguments arguments) {
    Tensor y = arguments.tensor();
    Tensor sums = arguments.tensor();
    Tensor rowAbsmax = arguments.tensor();
    Tensor columnAbsmax = arguments.tensor();
    Parts.ofRows(
        y.size(0),
        y.size(1),
        (at, begin, count) -> {
          Tensor value = at.mul(at.floats(at.narrow(sums, 0, begin, count)), 6.200012e-05f);
          Tensor byRow = at.mul(value, at.view(at.narrow(rowAbsmax, 0, begin, count), count, 1));
          at.narrow(y, 0, begin, count).copyFrom(at.mul(byRow, columnAbsmax));
        });
  }

  private static void dequantizeRows(KernelArguments arguments) {
    Tensor w = arguments.tensor();
    Tensor q = arguments.tensor();
    Tensor absmax = arguments.tensor();
    Parts.ofRows(
        w.size(0),
        w.size(1),
        (at, begin, count) -> {
          Tensor codes = at.floats(at.narrow(q, 0, begin, count));
          Tensor scaled = at.mul(codes, at.view(at.narrow(absmax, 0, begin, count), count, 1));
          at.narrow(w, 0, begin, count).copyFrom(at.div(scaled, GREATEST));
        });
  }
}
