package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code experts.cu}. */
public final class Experts {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "experts_choose", Experts::choose,
          "experts_choose_backward", Experts::chooseBackward,
          "experts_gather", Experts::gather,
          "experts_sum", Experts::sum,
          "experts_weigh", Experts::weigh);

  private Experts() {}

  private static void choose(KernelArguments arguments) {
    Tensor experts = arguments.tensor();
    Tensor weights = arguments.tensor();
    Tensor probabilities = arguments.tensor();
    long perToken = arguments.skip(2).whole();
    boolean sumToOne = arguments.flag();
    Parts.ofRows(
        probabilities.size(0),
        probabilities.size(1),
        (at, begin, count) -> {
          Tensor p = at.narrow(probabilities, 0, begin, count);
          Tensor best = at.narrow(at.descendingOrder(p), 1, 0, perToken);
          Tensor chosen = at.ascending(best);
          Tensor own = at.gather(p, chosen);
          at.narrow(experts, 0, begin, count).copyFrom(chosen);
          at.narrow(weights, 0, begin, count)
              .copyFrom(sumToOne ? at.div(own, sumInOrder(at, own)) : own);
        });
  }

  /** The sum of each row's columns from the first on, {@code [R, 1]}. */
  private static Tensor sumInOrder(Aten at, Tensor rows) {
    Tensor sum = at.narrow(rows, 1, 0, 1);
    for (long j = 1; j < rows.size(1); j++) {
      sum = at.add(sum, at.narrow(rows, 1, j, 1));
    }
    return sum;
  }

  private static void chooseBackward(KernelArguments arguments) {
    Tensor dLogits = arguments.tensor();
    Tensor dWeights = arguments.tensor();
    Tensor experts = arguments.tensor();
    Tensor probabilities = arguments.tensor();
    boolean sumToOne = arguments.skip(3).flag();
    Parts.ofRows(
        probabilities.size(0),
        probabilities.size(1),
        (at, begin, count) -> {
          Tensor p = at.narrow(probabilities, 0, begin, count);
          Tensor chosen = at.longs(at.narrow(experts, 0, begin, count));
          Tensor own = at.gather(p, chosen);
          Tensor dp = at.narrow(dWeights, 0, begin, count);
          if (sumToOne) {
            Tensor divisor = sumInOrder(at, own);
            Tensor inner = sumInOrder(at, at.div(at.mul(dp, own), divisor));
            dp = at.div(at.sub(dp, inner), divisor);
          }
          Tensor sum = sumInOrder(at, at.mul(own, dp));
          Tensor all = at.mul(p, at.sub(0, sum));
          Tensor those = at.mul(own, at.sub(dp, sum));
          at.narrow(dLogits, 0, begin, count).copyFrom(at.scatter(all, chosen, those));
        });
  }

  private static void gather(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor x = arguments.tensor();
    Tensor tokens = arguments.tensor();
    Parts.ofRows(
        out.size(0),
        out.size(1),
        (at, begin, count) ->
            at.narrow(out, 0, begin, count)
                .copyFrom(at.indexSelect(x, 0, at.narrow(tokens, 0, begin, count))));
  }

  private static void sum(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor rows = arguments.tensor();
    Tensor weights = arguments.tensorOrNull();
    Tensor rowOf = arguments.tensor();
    Tensor prior = arguments.tensorOrNull();
    long perToken = arguments.whole();
    Parts.ofRows(
        out.size(0),
        out.size(1),
        (at, begin, count) -> {
          long[] shape = {count, perToken};
          Tensor own = at.narrow(rowOf, 0, begin * perToken, count * perToken);
          Tensor pairs = at.longs(at.view(own, shape));
          Tensor sum = at.empty(out, DType.FLOAT32, count, out.size(1)).zero();
          for (long j = 0; j < perToken; j++) {
            Tensor index = at.longs(at.narrow(pairs, 1, j, 1));
            Tensor row = at.floats(at.indexSelect(rows, 0, at.flat(index)));
            if (weights != null) {
              Tensor weight = at.narrow(at.narrow(weights, 0, begin, count), 1, j, 1);
              row = at.mul(row, weight);
            }
            sum = at.add(sum, row);
          }
          if (prior != null) {
            sum = at.add(sum, at.floats(at.narrow(prior, 0, begin, count)));
          }
          at.narrow(out, 0, begin, count).copyFrom(sum);
        });
  }

  private static void weigh(KernelArguments arguments) {
    Tensor dy = arguments.tensor();
    Tensor dWeights = arguments.tensor();
    Tensor dz = arguments.tensor();
    Tensor y = arguments.tensor();
    Tensor weights = arguments.tensor();
    Tensor tokens = arguments.tensor();
    Tensor pairs = arguments.tensor();
    Parts.ofRows(
        dy.size(0),
        dy.size(1),
        (at, begin, count) -> {
          Tensor pair = at.longs(at.narrow(pairs, 0, begin, count));
          Tensor g = at.floats(at.indexSelect(dz, 0, at.narrow(tokens, 0, begin, count)));
          Tensor dots = at.rowDots(g, at.floats(at.narrow(y, 0, begin, count)));
          at.putRows(at.flat(dWeights), pair, at.flat(dots));
          Tensor weight = at.view(at.lookUp(at.flat(weights), pair), count, 1);
          at.narrow(dy, 0, begin, count).copyFrom(at.mul(g, weight));
        });
  }
}
