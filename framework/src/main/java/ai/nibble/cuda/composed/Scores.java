package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code scores.cu}. */
public final class Scores {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of("scores_forward", Scores::forward, "scores_backward", Scores::backward);

  private Scores() {}

  /**
   * What both kernels know of their rows {@code [heads, tokens·group, keys]}.
   *
   * @param queries int32, first query of each sequence, then their number
   * @param keyStarts the same of keys
   */
  private record Block(
      Tensor queries,
      Tensor keyStarts,
      long sequences,
      long window,
      long group,
      long tokens,
      long firstToken,
      long firstKey,
      long keys,
      float scale,
      float cap) {
    static Block next(KernelArguments arguments) {
      return new Block(
          arguments.tensor(),
          arguments.tensor(),
          arguments.whole(),
          arguments.whole(),
          arguments.whole(),
          arguments.whole(),
          arguments.whole(),
          arguments.whole(),
          arguments.whole(),
          arguments.real(),
          arguments.real());
    }

    /**
     * Which keys the rows of some tokens see, bool {@code [rows, keys]}. Numbers of tokens and keys
     * are float64 here, in which they are exact and have a sum.
     */
    Tensor seen(Aten at, long begin, long rows) {
      Tensor row = at.sequence(queries, firstToken * group + begin, 1, rows);
      Tensor token = wholeQuotient(at, row, group);
      Tensor ends = at.narrow(at.longs(queries), 0, 1, sequences);
      Tensor sequence = at.countBelow(at.longs(token), ends, true);
      Tensor queryEnd = of(at, queries, 1, sequence);
      Tensor keyBegin = of(at, keyStarts, 0, sequence);
      Tensor keyEnd = of(at, keyStarts, 1, sequence);
      Tensor last = at.sub(keyEnd, at.sub(queryEnd, token));
      Tensor first = keyBegin;
      if (window > 0) {
        first = at.maximum(first, at.add(last, 1 - window));
      }
      Tensor key = at.doubles(at.sequence(queries, firstKey, 1, keys));
      Tensor from = at.compare("ge", key, at.view(first, rows, 1));
      return at.and(from, at.compare("le", key, at.view(last, rows, 1)));
    }

    /** What a list has for each sequence, or the next one. */
    private Tensor of(Aten at, Tensor list, long next, Tensor sequence) {
      return at.doubles(at.lookUp(at.narrow(list, 0, next, sequences), sequence));
    }

    private static Tensor wholeQuotient(Aten at, Tensor numbers, long divisor) {
      return at.map("floor", at.div(at.doubles(numbers), divisor));
    }

    /** The tangent of products, null without a cap. */
    Tensor tangent(Aten at, Tensor products) {
      return cap == 0 ? null : at.map("tanh", at.div(at.mul(products, scale), cap));
    }

    Tensor scores(Aten at, Tensor products, Tensor tangent) {
      return tangent == null ? at.mul(products, scale) : at.mul(tangent, cap);
    }

    /** Probabilities by rows' highest scores and logarithms of sums, 0 where nothing is seen. */
    Tensor probabilities(Aten at, Tensor scores, Tensor seen, Tensor max, Tensor logSum) {
      return at.where(seen, at.map("exp", at.sub(at.sub(scores, max), logSum)), 0);
    }

    /** One number of rows' statistics, {@code [heads, rows, 1]}, where it is. */
    Tensor statistic(Aten at, Tensor statistics, long begin, long rows, int number) {
      Tensor own = at.narrow(statistics, 1, firstToken * group + begin, rows);
      return at.narrow(own, 2, number, 1);
    }
  }

  private static void forward(KernelArguments arguments) {
    Tensor products = arguments.tensor();
    Tensor statistics = arguments.tensor();
    Block block = Block.next(arguments);
    Parts.ofRows(
        products.size(1),
        products.size(0) * block.keys,
        (at, begin, rows) -> {
          Tensor to = at.narrow(products, 1, begin, rows);
          Tensor x = at.floats(to);
          Tensor seen = block.seen(at, begin, rows);
          Tensor scores = block.scores(at, x, block.tangent(at, x));
          Tensor visible = at.where(seen, scores, Double.NEGATIVE_INFINITY);
          Tensor max = at.max(visible);
          Tensor none = at.compare("eq", max, Double.NEGATIVE_INFINITY);
          Tensor base = at.where(none, at.number(max, 0), max);
          Tensor exps = at.map("exp", at.sub(visible, base));
          Tensor sums = at.rowSums(at.view(exps, products.size(0) * rows, block.keys));
          Tensor logSum = at.view(at.map("log", at.floats(sums)), max.shape());
          to.copyFrom(block.probabilities(at, scores, seen, max, logSum));
          block.statistic(at, statistics, begin, rows, 0).copyFrom(max);
          block.statistic(at, statistics, begin, rows, 1).copyFrom(logSum);
        });
  }

  private static void backward(KernelArguments arguments) {
    Tensor products = arguments.tensor();
    Tensor gradients = arguments.tensor();
    Tensor statistics = arguments.tensor();
    Block block = Block.next(arguments);
    Parts.ofRows(
        products.size(1),
        products.size(0) * block.keys,
        (at, begin, rows) -> {
          Tensor to = at.narrow(products, 1, begin, rows);
          Tensor x = at.floats(to);
          Tensor seen = block.seen(at, begin, rows);
          Tensor tangent = block.tangent(at, x);
          Tensor max = block.statistic(at, statistics, begin, rows, 0);
          Tensor logSum = block.statistic(at, statistics, begin, rows, 1);
          Tensor scores = block.scores(at, x, tangent);
          Tensor p = block.probabilities(at, scores, seen, max, logSum);
          Tensor gradient = at.narrow(gradients, 1, begin, rows);
          Tensor g = at.where(seen, at.floats(gradient), 0);
          long[] flat = {products.size(0) * rows, block.keys};
          Tensor sum = at.view(at.rowDots(at.view(p, flat), at.view(g, flat)), max.shape());
          Tensor dScores = at.mul(p, at.sub(g, sum));
          if (tangent != null) {
            dScores = at.mul(dScores, at.sub(1, at.mul(tangent, tangent)));
          }
          to.copyFrom(p);
          gradient.copyFrom(at.where(seen, at.mul(dScores, block.scale), 0));
        });
  }
}
