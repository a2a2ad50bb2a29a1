package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code elementwise.cu}. */
public final class Elementwise {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "add", Elementwise::add,
          "scale", Elementwise::scale,
          "add_bias", Elementwise::addBias,
          "add_scaled", Elementwise::addScaled,
          "scatter_rows", Elementwise::scatterRows,
          "embedding_gradient", Elementwise::embeddingGradient,
          "sum_groups", Elementwise::sumGroups);

  private Elementwise() {}

  private static Tensor part(Aten at, Tensor flat, long begin, long count) {
    return at.narrow(at.flat(flat), 0, begin, count);
  }

  private static void add(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor a = arguments.tensor();
    Tensor b = arguments.tensor();
    Parts.ofRows(
        out.numel(),
        1,
        (at, begin, count) -> {
          Tensor x = at.floats(part(at, a, begin, count));
          Tensor y = at.floats(part(at, b, begin, count));
          part(at, out, begin, count).copyFrom(at.add(x, y));
        });
  }

  private static void scale(KernelArguments arguments) {
    Tensor x = arguments.tensor();
    float factor = arguments.skip(1).real();
    Parts.ofRows(
        x.numel(),
        1,
        (at, begin, count) -> {
          Tensor part = part(at, x, begin, count);
          part.copyFrom(at.mul(at.floats(part), factor));
        });
  }

  private static void addBias(KernelArguments arguments) {
    Tensor y = arguments.tensor();
    Tensor bias = arguments.tensor();
    Parts.ofRows(
        y.size(0),
        y.size(1),
        (at, begin, count) -> {
          Tensor rows = at.narrow(y, 0, begin, count);
          rows.copyFrom(at.add(at.floats(rows), bias));
        });
  }

  private static void addScaled(KernelArguments arguments) {
    Tensor grad = arguments.tensor();
    Tensor gradient = arguments.tensor(); // a matrix or a vector
    long width = arguments.whole();
    float scale = arguments.skip(1).real();
    Parts.ofRows(
        grad.numel() / width,
        grad.dim() == 1 ? 1 : width,
        (at, begin, count) -> {
          boolean vector = grad.dim() == 1;
          Tensor to = vector ? grad : at.narrow(grad, 0, begin, count);
          Tensor from = vector ? gradient : at.narrow(gradient, 0, begin, count);
          to.copyFrom(at.add(to, at.mul(at.floats(from), scale)));
        });
  }

  private static void scatterRows(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor rows = arguments.tensor();
    Tensor index = arguments.tensor();
    out.zero();
    if (rows.size(0) > 0) {
      try (Aten at = new Aten()) {
        at.putRows(out, index, rows);
      }
    }
  }

  /**
   * Each token's gradient and the rows that are added to it are a bag of their own, summed in this
   * order. How many tokens there are is known on the device alone, so there are as many bags as
   * positions: those beyond the last token repeat its result.
   */
  private static void embeddingGradient(KernelArguments arguments) {
    Tensor grad = arguments.tensor();
    Tensor dy = arguments.tensor();
    Tensor positions = arguments.tensor();
    Tensor starts = arguments.tensor();
    long width = arguments.whole();
    float scale = arguments.real();
    if (positions.numel() == 0) {
      return;
    }
    try (Aten outer = new Aten()) {
      TokenBags bags = TokenBags.of(outer, starts, positions.numel());
      Parts.ofRows(
          width,
          2 * positions.numel(),
          (at, begin, count) -> {
            Tensor to = at.narrow(grad, 1, begin, count);
            Tensor table = at.empty(grad, DType.FLOAT32, 2 * positions.numel(), count);
            Tensor added = at.indexSelect(at.narrow(dy, 1, begin, count), 0, positions);
            Tensor scaled = at.where(bags.learned, at.mul(at.floats(added), scale), 0);
            at.narrow(table, 0, 0, positions.numel()).copyFrom(scaled);
            at.narrow(table, 0, positions.numel(), positions.numel())
                .copyFrom(at.indexSelect(to, 0, bags.tokens));
            Tensor sums = at.bagSums(table, bags.members, bags.begins);
            at.putRows(to, bags.tokens, at.indexSelect(sums, 0, bags.chosen));
          });
    }
  }

  /**
   * Which rows of a table make each token's sum: first its gradient, in row N + b of bag b, then
   * what is added, in rows below N in the order of the positions.
   *
   * <p>Positions behind the last token's are of none: zeros are added to the last token for them.
   *
   * @param learned bool {@code [N, 1]}, which positions are of a token
   * @param tokens int64 {@code [N]}, of each bag; of those beyond the last one the last's
   * @param chosen int64 {@code [N]}, the bag itself, or the last one
   * @param members int64 {@code [2N]}, rows of the table bag by bag
   * @param begins int64 {@code [N + 1]}, where each bag's are
   */
  private record TokenBags(
      Tensor learned, Tensor tokens, Tensor chosen, Tensor members, Tensor begins) {
    static TokenBags of(Aten at, Tensor starts, long n) {
      Tensor each = at.sequence(starts, 0, 1, n);
      Tensor ends = at.longs(at.narrow(starts, 0, 1, starts.numel() - 1));
      Tensor learned = at.compare("lt", each, at.narrow(ends, 0, ends.numel() - 1, 1));
      // of the k-th position
      Tensor tokenOf =
          at.minimum(
              at.countBelow(each, ends, true),
              at.filled(at.empty(starts, DType.INT64, 1), ends.numel() - 1));
      Tensor isFirst = at.compare("eq", at.lookUp(at.longs(starts), tokenOf), each);
      // bags of positions, from 1 on
      Tensor bagOf = at.runningSums(at.longs(isFirst));
      Tensor numbers = at.sequence(starts, 1, 1, n + 1);
      Tensor first = at.countBelow(numbers, bagOf, false);
      Tensor last = at.narrow(bagOf, 0, n - 1, 1);
      Tensor chosen = sum(at, at.minimum(at.sequence(starts, 1, 1, n), last), -1);
      Tensor tokens = at.lookUp(tokenOf, at.lookUp(first, chosen));
      Tensor members = at.empty(starts, DType.INT64, 2 * n);
      Tensor begins = sum(at, first, at.sequence(starts, 0, 1, n + 1));
      at.putRows(members, at.narrow(begins, 0, 0, n), at.sequence(starts, n, 1, n));
      at.putRows(members, sum(at, each, bagOf), each);
      return new TokenBags(at.view(learned, n, 1), tokens, chosen, members, begins);
    }

    /** Sums of whole numbers below 2⁵³. */
    private static Tensor sum(Aten at, Tensor a, Tensor b) {
      return at.longs(at.add(at.doubles(a), at.doubles(b)));
    }

    private static Tensor sum(Aten at, Tensor a, long number) {
      return at.longs(at.add(at.doubles(a), number));
    }
  }

  private static void sumGroups(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor rows = arguments.tensor();
    long group = arguments.whole();
    long width = arguments.whole();
    Parts.ofRows(
        out.size(0),
        group * rows.size(1),
        (at, begin, count) -> {
          Tensor all = at.narrow(rows, 0, begin * group, count * group);
          Tensor groups = at.narrow(at.view(all, count, group, rows.size(1)), 2, 0, width);
          Tensor sum = at.floats(at.narrow(groups, 1, 0, 1));
          for (long g = 1; g < group; g++) {
            sum = at.add(sum, at.floats(at.narrow(groups, 1, g, 1)));
          }
          at.narrow(out, 0, begin, count).copyFrom(at.view(sum, count, width));
        });
  }
}
