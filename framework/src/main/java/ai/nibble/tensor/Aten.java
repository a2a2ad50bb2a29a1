package ai.nibble.tensor;

import java.nio.ByteBuffer;

/**
 * Operations of libtorch that make new tensors, under aten's names, for computations composed of
 * several: what they make lives until this is closed. Operands stay their owner's, are broadcast
 * against each other and are of one device; none of the operations waits for it.
 *
 * <p>Only operators that libtorch's C ABI can call by name are here: without numbers of any type
 * among their arguments and without lists. A number is a tensor of no dimensions for that.
 */
public final class Aten implements AutoCloseable {
  private final Scope made = new Scope();

  /** Takes over a tensor, which is closed with this. */
  public Tensor own(Tensor tensor) {
    return made.own(tensor);
  }

  private Tensor call(String op, String overload, Object... arguments) {
    return own(Dispatcher.results(1, "aten::" + op, overload, arguments)[0]);
  }

  // ---- What a computation begins with.

  /** An uninitialised tensor on another's device. */
  public Tensor empty(Tensor like, DType dtype, long... shape) {
    return own(Tensor.empty(like.device(), dtype, shape));
  }

  /**
   * A float32 tensor of these values beside a tensor: see {@link Tensor#of(Device, float[],
   * long...)}.
   */
  public Tensor values(Tensor beside, float[] values, long... shape) {
    return own(Tensor.of(beside.device(), values, shape));
  }

  /** A number beside a tensor: of its dtype, float32, float64 or int64, and on its device. */
  public Tensor number(Tensor beside, double value) {
    return filled(empty(beside, beside.dtype()), value);
  }

  /** Sets all elements of a float32, float64 or int64 tensor to a whole number or a real one. */
  public Tensor filled(Tensor tensor, Number value) {
    try (Tensor number = Tensor.empty(tensor.dtype())) {
      ByteBuffer bytes = number.bytes(0, tensor.dtype().bytes());
      switch (tensor.dtype()) {
        case FLOAT32 -> bytes.putFloat(0, value.floatValue());
        case FLOAT64 -> bytes.putDouble(0, value.doubleValue());
        case INT64 -> bytes.putLong(0, value.longValue());
        default -> throw new TensorException("filled: no number for " + tensor);
      }
      Dispatcher.call("aten::fill_", "Tensor", tensor, number);
      return tensor;
    }
  }

  /**
   * The int64 vector {@code first, first + step, …} beside a tensor, with the sums of Java's long.
   *
   * @param count 1 or more
   */
  public Tensor sequence(Tensor beside, long first, long step, long count) {
    Tensor steps = filled(empty(beside, DType.INT64, count), step);
    filled(narrow(steps, 0, 0, 1), first);
    return runningSums(steps);
  }

  /** The same elements in another dtype, contiguous; the tensor itself if that is what it is. */
  public Tensor as(Tensor x, DType dtype) {
    return x.dtype() == dtype && x.isContiguous() ? x : own(x.to(dtype));
  }

  /** As float32, contiguous. */
  public Tensor floats(Tensor x) {
    return as(x, DType.FLOAT32);
  }

  /** As float64, contiguous. */
  public Tensor doubles(Tensor x) {
    return as(x, DType.FLOAT64);
  }

  /** As int64, contiguous. */
  public Tensor longs(Tensor x) {
    return as(x, DType.INT64);
  }

  /** {@link Tensor#narrow}. */
  public Tensor narrow(Tensor x, int d, long start, long length) {
    return own(x.narrow(d, start, length));
  }

  /** {@link Tensor#view}. */
  public Tensor view(Tensor x, long... shape) {
    return own(x.view(shape));
  }

  /** All elements of a contiguous tensor as a vector. */
  public Tensor flat(Tensor x) {
    return view(x, x.numel());
  }

  // ---- Arithmetic; floating point, but for products.

  /** {@code a + b}. */
  public Tensor add(Tensor a, Tensor b) {
    return own(Ops.add(a, b, 1));
  }

  /** {@code a + number}. */
  public Tensor add(Tensor a, double number) {
    return add(a, number(a, number));
  }

  /** {@code a − b}. */
  public Tensor sub(Tensor a, Tensor b) {
    return own(Ops.add(a, b, -1));
  }

  /** {@code number − a}. */
  public Tensor sub(double number, Tensor a) {
    return sub(number(a, number), a);
  }

  /** {@code a · b}; of int64 the lower 64 bits. */
  public Tensor mul(Tensor a, Tensor b) {
    return call("mul", "Tensor", a, b);
  }

  /** {@code a · number}. */
  public Tensor mul(Tensor a, double number) {
    return mul(a, number(a, number));
  }

  /** {@code a / b}, rounded once: a divisor that were a number on the CPU would be inverted. */
  public Tensor div(Tensor a, Tensor b) {
    return call("div", "Tensor", a, b);
  }

  /** {@code a / number}. */
  public Tensor div(Tensor a, double number) {
    return div(a, number(a, number));
  }

  /** {@code a · b + c} of float32 by way of float64, in which the product is exact. */
  public Tensor fma(Tensor a, Tensor b, Tensor c) {
    try (Aten wide = new Aten()) {
      Tensor sum = wide.add(wide.mul(wide.doubles(a), wide.doubles(b)), wide.doubles(c));
      return own(sum.to(DType.FLOAT32));
    }
  }

  /** A function of each element by the name that aten has for it: {@code sqrt}, {@code exp}, … */
  public Tensor map(String function, Tensor x) {
    return call(function, "", x);
  }

  /** The greater of both; NaN if one is. */
  public Tensor maximum(Tensor a, Tensor b) {
    return call("maximum", "", a, b);
  }

  /** The lesser of both. */
  public Tensor minimum(Tensor a, Tensor b) {
    return call("minimum", "", a, b);
  }

  /** The float next to a in b's direction. */
  public Tensor nextAfter(Tensor a, Tensor b) {
    return call("nextafter", "", a, b);
  }

  // ---- Bits and truth.

  /** A comparison by aten's name, {@code lt}, {@code ge}, …; the result is of bool. */
  public Tensor compare(String comparison, Tensor a, Tensor b) {
    return call(comparison, "Tensor", a, b);
  }

  /** A comparison with a number. */
  public Tensor compare(String comparison, Tensor a, double number) {
    return compare(comparison, a, number(a, number));
  }

  /** Both bits, of whole numbers or bool. */
  public Tensor and(Tensor a, Tensor b) {
    return call("bitwise_and", "Tensor", a, b);
  }

  /** Either bit. */
  public Tensor or(Tensor a, Tensor b) {
    return call("bitwise_or", "Tensor", a, b);
  }

  /** One bit of both. */
  public Tensor xor(Tensor a, Tensor b) {
    return call("bitwise_xor", "Tensor", a, b);
  }

  /** Int64 shifted right by so many bits, zeros coming in. */
  public Tensor shiftRight(Tensor x, long bits) {
    Tensor shifted = call("bitwise_right_shift", "Tensor", x, filled(empty(x, x.dtype()), bits));
    return and(shifted, filled(empty(x, x.dtype()), -1L >>> bits));
  }

  /** {@code condition ? a : b}, element by element. */
  public Tensor where(Tensor condition, Tensor a, Tensor b) {
    return call("where", "self", condition, a, b);
  }

  /** {@code condition ? a : number}. */
  public Tensor where(Tensor condition, Tensor a, double number) {
    return where(condition, a, number(a, number));
  }

  // ---- Sums and orders.

  /**
   * The sums of each row's products, {@code [R, 1]} in float32: summed in float64, in which no
   * setting lowers the precision of products, and rounded once.
   *
   * @param a {@code [R, C]}
   * @param b {@code [R, C]}
   */
  public Tensor rowDots(Tensor a, Tensor b) {
    try (Aten wide = new Aten()) {
      Tensor sums = wide.rowSums(wide.mul(wide.doubles(a), wide.doubles(b)));
      return own(sums.to(DType.FLOAT32));
    }
  }

  /** The sums of rows {@code [R, C]}, {@code [R, 1]} in float64. */
  public Tensor rowSums(Tensor x) {
    Tensor ones = filled(empty(x, DType.FLOAT64, x.size(1), 1), 1);
    return Ops.mm(empty(x, DType.FLOAT64, x.size(0), 1), doubles(x), ones);
  }

  /** The sums of columns {@code [R, C]}, {@code [1, C]} in float64. */
  public Tensor columnSums(Tensor x) {
    Tensor ones = filled(empty(x, DType.FLOAT64, 1, x.size(0)), 1);
    return Ops.mm(empty(x, DType.FLOAT64, 1, x.size(1)), ones, doubles(x));
  }

  /** The sum of all elements, of x's dtype, without dimensions. */
  public Tensor sum(Tensor x) {
    return call("sum", "", x, null);
  }

  /** The sum of each element and all before it, of an int64 vector. */
  public Tensor runningSums(Tensor x) {
    return call("cumsum", "", x, 0L, null);
  }

  /**
   * Sums of rows, one after the other in the order of the bag that names them.
   *
   * @param rows float32 or float64 {@code [R, C]}
   * @param bags int64, numbers of rows, bag by bag
   * @param starts int64 {@code [B + 1]}, where each bag begins, then how many numbers there are
   * @return {@code [B, C]}
   */
  public Tensor bagSums(Tensor rows, Tensor bags, Tensor starts) {
    Tensor[] results =
        Dispatcher.results(
            4, "aten::_embedding_bag", "", rows, bags, starts, false, 0L, false, null, true, -1L);
    for (Tensor result : results) {
      own(result);
    }
    return results[0];
  }

  /** The greatest of the last dimension, which stays with size 1; NaN if one is. */
  public Tensor max(Tensor x) {
    Tensor[] results = Dispatcher.results(2, "aten::max", "dim", x, (long) x.dim() - 1, true);
    own(results[1]);
    return own(results[0]);
  }

  /** Numbers of the last dimension's elements, the greatest first, of equal ones the first. */
  public Tensor descendingOrder(Tensor x) {
    return call("argsort", "stable", x, true, (long) x.dim() - 1, true);
  }

  /** The last dimension in ascending order. */
  public Tensor ascending(Tensor x) {
    Tensor[] results = Dispatcher.results(2, "aten::sort", "", x, (long) x.dim() - 1, false);
    own(results[1]);
    return own(results[0]);
  }

  /**
   * How many boundaries lie below each element, as int64.
   *
   * @param boundaries an ascending vector of x's dtype
   * @param orAt those that equal it count, too
   */
  public Tensor countBelow(Tensor x, Tensor boundaries, boolean orAt) {
    return call("bucketize", "Tensor", x, boundaries, false, orAt);
  }

  // ---- Places.

  /** {@code x[…, index, …]} along a dimension, of an int32 or int64 vector. */
  public Tensor indexSelect(Tensor x, int dim, Tensor index) {
    return call("index_select", "", x, (long) dim, index);
  }

  /** A value of a vector for each element of an int32 or int64 tensor. */
  public Tensor lookUp(Tensor values, Tensor index) {
    return view(indexSelect(values, 0, flat(index)), index.shape());
  }

  /** {@code x[r, index[r, i]]} along the last dimension; the index is int64. */
  public Tensor gather(Tensor x, Tensor index) {
    return call("gather", "", x, (long) x.dim() - 1, index, false);
  }

  /** A copy of x with {@code x[r, index[r, i]] = values[r, i]} along the last dimension. */
  public Tensor scatter(Tensor x, Tensor index, Tensor values) {
    return call("scatter", "src", x, (long) x.dim() - 1, index, values);
  }

  /**
   * Writes rows to places of a tensor; of equal places all rows must be the same.
   *
   * @param index an int64 vector
   */
  public void putRows(Tensor target, Tensor index, Tensor rows) {
    Dispatcher.call("aten::index_copy_", "", target, 0L, index, rows);
  }

  @Override
  public void close() {
    made.close();
  }
}
