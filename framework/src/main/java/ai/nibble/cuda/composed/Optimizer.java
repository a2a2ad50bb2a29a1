package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code optimizer.cu}. */
public final class Optimizer {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "optimizer_add", Optimizer::add,
          "sum_of_squares_chains", Optimizer::chains,
          "sum_of_squares_finish", Optimizer::finish,
          "clip_factor", Optimizer::clipFactor,
          "adamw", Optimizer::adamW);

  /** Elements whose sum of squares is made of {@link #CHAINS} chains of every eighth one. */
  private static final int RANGE = 65536;

  private static final int CHAINS = 8;

  private Optimizer() {}

  private static Tensor part(Aten at, Tensor flat, long begin, long count) {
    return at.narrow(at.flat(flat), 0, begin, count);
  }

  private static void add(KernelArguments arguments) {
    Tensor into = arguments.tensor();
    Tensor from = arguments.tensor();
    Parts.ofRows(
        into.numel(),
        1,
        (at, begin, count) -> {
          Tensor to = part(at, into, begin, count);
          to.copyFrom(at.add(to, part(at, from, begin, count)));
        });
  }

  /** Partial {@code [ranges, 8]}, each sum in the order of its elements. */
  private static void chains(KernelArguments arguments) {
    Tensor partial = arguments.tensor();
    Tensor values = arguments.tensor();
    long n = arguments.whole();
    Parts.ofBlocks(
        n,
        RANGE,
        (at, begin, count, width) -> {
          long links = (width + CHAINS - 1) / CHAINS;
          Tensor x = at.doubles(part(at, values, begin, count * width));
          Tensor squares = at.empty(values, DType.FLOAT64, count * links * CHAINS).zero();
          at.narrow(squares, 0, 0, count * width).copyFrom(at.mul(x, x));
          Tensor rows = at.view(squares, count * links, CHAINS);
          Tensor sums = bagsOf(at, rows, links);
          part(at, partial, begin / RANGE * CHAINS, count * CHAINS).copyFrom(at.flat(sums));
        });
  }

  /** Sums of so many rows at a time that follow each other. */
  private static Tensor bagsOf(Aten at, Tensor rows, long each) {
    Tensor members = at.sequence(rows, 0, 1, rows.size(0));
    Tensor begins = at.sequence(rows, 0, each, rows.size(0) / each + 1);
    return at.bagSums(rows, members, begins);
  }

  private static void finish(KernelArguments arguments) {
    Tensor result = arguments.tensor();
    Tensor partial = arguments.tensor();
    long ranges = arguments.whole();
    if (ranges == 0) {
      result.zero();
      return;
    }
    try (Aten at = new Aten()) {
      Tensor sums = at.view(partial, ranges, CHAINS);
      for (int width = CHAINS; width > 1; width /= 2) {
        Tensor pairs = at.view(sums, ranges, width / 2, 2);
        Tensor added = at.add(at.narrow(pairs, 2, 0, 1), at.narrow(pairs, 2, 1, 1));
        sums = at.view(at.doubles(added), ranges, width / 2);
      }
      result.copyFrom(at.flat(bagsOf(at, sums, ranges)));
    }
  }

  private static void clipFactor(KernelArguments arguments) {
    Tensor factor = arguments.tensor();
    Tensor sumOfSquares = arguments.tensor();
    Tensor loss = arguments.tensorOrNull();
    float maxNorm = arguments.real();
    try (Aten at = new Aten()) {
      Tensor norm = at.map("sqrt", sumOfSquares);
      Tensor clip = at.filled(at.narrow(factor, 0, 0, 1), 1);
      if (maxNorm != 0) {
        Tensor inverse = at.map("reciprocal", at.add(at.floats(norm), 1e-6f));
        Tensor wanted = at.mul(inverse, maxNorm);
        Tensor one = at.number(wanted, 1);
        clip.copyFrom(at.where(at.compare("gt", wanted, 1), one, wanted));
      }
      Tensor finite = isFinite(at, norm);
      Tensor both = loss == null ? finite : at.and(finite, isFinite(at, loss));
      at.narrow(factor, 0, 1, 1).copyFrom(both);
    }
  }

  private static Tensor isFinite(Aten at, Tensor x) {
    return at.compare("eq", at.sub(x, x), 0);
  }

  private static void adamW(KernelArguments arguments) {
    Tensor param = arguments.tensor();
    Tensor grad = arguments.tensor();
    Tensor first = arguments.tensor();
    Tensor second = arguments.tensor();
    Tensor factor = arguments.tensor();
    long n = arguments.whole();
    AdamW constants = AdamW.next(arguments);
    Parts.ofRows(
        n,
        1,
        (at, begin, count) -> {
          Tensor p = part(at, param, begin, count);
          Tensor m = part(at, first, begin, count);
          Tensor v = part(at, second, begin, count);
          Tensor clipped = at.mul(part(at, grad, begin, count), at.narrow(factor, 0, 0, 1));
          AdamW.Updated updated = constants.update(at, p, clipped, m, v);
          Tensor allowed = allowed(at, factor);
          p.copyFrom(at.where(allowed, updated.param(), p));
          m.copyFrom(at.where(allowed, updated.first(), m));
          v.copyFrom(at.where(allowed, updated.second(), v));
        });
  }

  /** Whether a step may be taken, a bool of one element. */
  static Tensor allowed(Aten at, Tensor factor) {
    return at.compare("ne", at.narrow(factor, 0, 1, 1), 0);
  }
}
