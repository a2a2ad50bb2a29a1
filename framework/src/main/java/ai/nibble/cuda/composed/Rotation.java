package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code rotary.cu}. */
public final class Rotation {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of("rotary_rotate", Rotation::rotate, "rotary_gradient", Rotation::gradient);

  private Rotation() {}

  /**
   * Rotates the first 2·half elements of each head and copies the others.
   *
   * @param to {@code [N, heads, D]}; may be from's memory
   * @param from like to
   * @param cos float32 {@code [N, 1, half]}
   * @param sin float32 {@code [N, 1, half]}
   */
  static void rotate(Aten at, Tensor to, Tensor from, Tensor cos, Tensor sin) {
    long half = cos.size(2);
    Tensor x = at.floats(at.narrow(from, 2, 0, half));
    Tensor y = at.floats(at.narrow(from, 2, half, half));
    Tensor low = at.sub(at.mul(x, cos), at.mul(y, sin));
    Tensor high = at.add(at.mul(y, cos), at.mul(x, sin));
    to.copyFrom(from);
    at.narrow(to, 2, 0, half).copyFrom(low);
    at.narrow(to, 2, half, half).copyFrom(high);
  }

  /** The last arguments of both kernels. */
  private record Angles(
      Tensor positions, Tensor cos, Tensor sin, long heads, long keyValueHeads, long width) {
    static Angles next(KernelArguments arguments) {
      return new Angles(
          arguments.tensor(),
          arguments.tensor(),
          arguments.tensor(),
          arguments.whole(),
          arguments.whole(),
          arguments.skip(1).whole());
    }

    long all() {
      return heads + 2 * keyValueHeads;
    }

    /** Rows of a table for some tokens, {@code [N, 1, half]}. */
    Tensor of(Aten at, Tensor table, long begin, long count) {
      Tensor rows = at.indexSelect(table, 0, at.narrow(positions, 0, begin, count));
      return at.view(rows, count, 1, table.size(1));
    }
  }

  private static void rotate(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor qkv = arguments.tensor();
    Angles angles = Angles.next(arguments);
    long rotating = angles.heads + angles.keyValueHeads;
    Parts.ofRows(
        out.size(0),
        out.size(1),
        (at, begin, count) -> {
          long[] shape = {count, angles.all(), angles.width};
          Tensor from = at.view(at.narrow(qkv, 0, begin, count), shape);
          Tensor to = at.view(at.narrow(out, 0, begin, count), shape);
          rotate(
              at,
              at.narrow(to, 1, 0, rotating),
              at.narrow(from, 1, 0, rotating),
              angles.of(at, angles.cos, begin, count),
              angles.of(at, angles.sin, begin, count));
          at.narrow(to, 1, rotating, angles.keyValueHeads)
              .copyFrom(at.narrow(from, 1, rotating, angles.keyValueHeads));
        });
  }

  private static void gradient(KernelArguments arguments) {
    Tensor dqkv = arguments.tensor();
    Tensor dq = arguments.tensor();
    Tensor dk = arguments.tensor();
    Tensor dv = arguments.tensor();
    Angles angles = Angles.next(arguments);
    Parts.ofRows(
        dqkv.size(0),
        dqkv.size(1),
        (at, begin, count) -> {
          Tensor to = at.view(at.narrow(dqkv, 0, begin, count), count, angles.all(), angles.width);
          Tensor cos = angles.of(at, angles.cos, begin, count);
          Tensor back = at.map("neg", angles.of(at, angles.sin, begin, count));
          Tensor queries = at.narrow(to, 1, 0, angles.heads);
          rotate(at, queries, at.narrow(dq, 0, begin, count), cos, back);
          Tensor keys = at.narrow(to, 1, angles.heads, angles.keyValueHeads);
          rotate(at, keys, at.narrow(dk, 0, begin, count), cos, back);
          at.narrow(to, 1, angles.heads + angles.keyValueHeads, angles.keyValueHeads)
              .copyFrom(at.narrow(dv, 0, begin, count));
        });
  }
}
