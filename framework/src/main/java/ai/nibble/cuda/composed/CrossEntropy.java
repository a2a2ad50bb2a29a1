package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code cross_entropy.cu}. */
public final class CrossEntropy {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "cross_entropy", arguments -> run(arguments, false),
          "capped_cross_entropy", arguments -> run(arguments, true),
          "cross_entropy_sum", CrossEntropy::sum);

  private CrossEntropy() {}

  /**
   * A cap on logits.
   *
   * @param cap 0: none
   * @param inverse of it
   */
  private record Cap(float cap, float inverse) {
    /** The tangent that logits become, null without a cap. */
    Tensor tangent(Aten at, Tensor logits) {
      return cap == 0 ? null : at.map("tanh", at.mul(logits, inverse));
    }

    Tensor capped(Aten at, Tensor logits, Tensor tangent) {
      return tangent == null ? logits : at.mul(tangent, cap);
    }
  }

  private static void run(KernelArguments arguments, boolean capped) {
    Tensor losses = arguments.tensor();
    Tensor logits = arguments.tensor();
    Tensor targets = arguments.tensor();
    float scale = arguments.skip(1).real();
    boolean gradient = arguments.flag();
    Cap cap = capped ? new Cap(arguments.real(), arguments.real()) : new Cap(0, 0);
    Parts.ofRows(
        logits.size(0),
        logits.size(1),
        (at, begin, count) -> {
          Tensor rows = at.narrow(logits, 0, begin, count);
          Tensor target = at.view(at.longs(at.narrow(targets, 0, begin, count)), count, 1);
          Tensor x = at.floats(rows);
          Tensor tangent = cap.tangent(at, x);
          Row row = Row.of(at, cap.capped(at, x, tangent), target);
          at.narrow(losses, 0, begin, count).copyFrom(at.flat(row.loss));
          if (gradient) {
            rows.copyFrom(row.gradient(at, scale, tangent));
          }
        });
  }

  /**
   * Some rows of logits and their losses.
   *
   * @param x float32 {@code [M, V]}, with their cap
   * @param max {@code [M, 1]}
   * @param logSum logarithm of the sum of exponentials relative to max
   * @param inside whether the target is in the vocabulary
   * @param target int64 {@code [M, 1]}, 0 where it is outside
   */
  private record Row(
      Tensor x, Tensor max, Tensor logSum, Tensor loss, Tensor inside, Tensor target) {
    static Row of(Aten at, Tensor x, Tensor targets) {
      Tensor max = at.max(x);
      Tensor none = at.compare("eq", max, Double.NEGATIVE_INFINITY);
      Tensor base = at.where(none, at.number(max, 0), max);
      Tensor sum = at.floats(at.rowSums(at.map("exp", at.sub(x, base))));
      Tensor logSum = at.map("log", sum);
      // an operation with an index outside would stop the process, or the device
      Tensor inside =
          at.and(
              at.compare("ge", targets, at.filled(at.empty(targets, DType.INT64, 1), 0)),
              at.compare("lt", targets, at.filled(at.empty(targets, DType.INT64, 1), x.size(1))));
      Tensor target = at.mul(targets, at.longs(inside));
      Tensor own = at.where(inside, at.gather(x, target), Double.NaN);
      return new Row(x, max, logSum, at.sub(logSum, at.sub(own, max)), inside, target);
    }

    /** {@code (softmax − onehot)·scale}, times the cap's slope. */
    Tensor gradient(Aten at, float scale, Tensor tangent) {
      Tensor p = at.map("exp", at.sub(at.sub(x, max), logSum));
      Tensor one = at.floats(inside);
      Tensor less = at.scatter(p, target, at.sub(at.gather(p, target), one));
      Tensor scaled = at.mul(less, scale);
      return tangent == null ? scaled : at.mul(scaled, at.sub(1, at.mul(tangent, tangent)));
    }
  }

  private static void sum(KernelArguments arguments) {
    Tensor result = arguments.tensor();
    Tensor values = arguments.tensor();
    try (Aten at = new Aten()) {
      result.copyFrom(at.add(result, at.sum(at.doubles(values))));
    }
  }
}
