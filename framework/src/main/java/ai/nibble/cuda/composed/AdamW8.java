package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernel of {@code adamw8.cu}. */
public final class AdamW8 {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS = Map.of("adamw8", AdamW8::update);

  private static final int BLOCK = 256;
  private static final int MAP = 256;

  private AdamW8() {}

  /** A moment: {@code map[code]·absmax} of its block. */
  private record Moment(Tensor codes, Tensor absmax, Tensor map, Tensor bounds) {
    /**
     * What lies above the k-th bound has a code above k: the mean of two neighbours' values, which
     * itself has the even one's code.
     */
    static Tensor bounds(Aten at, Tensor map) {
      Tensor low = at.narrow(map, 0, 0, MAP - 1);
      Tensor high = at.narrow(map, 0, 1, MAP - 1);
      Tensor means = at.mul(at.add(low, high), 0.5);
      Tensor below = at.nextAfter(means, at.number(means, Double.NEGATIVE_INFINITY));
      Tensor one = at.filled(at.empty(map, DType.INT64, 1), 1);
      Tensor odd = at.compare("eq", at.and(at.sequence(map, 0, 1, MAP - 1), one), one);
      return at.where(odd, below, means);
    }

    Moment part(Aten at, long begin, long count, long width) {
      return new Moment(
          at.view(at.narrow(at.flat(codes), 0, begin, count * width), count, width),
          at.view(at.narrow(absmax, 0, begin / BLOCK, count), count, 1),
          map,
          bounds);
    }

    Tensor decoded(Aten at) {
      try (Aten own = new Aten()) {
        return at.mul(own.lookUp(map, own.as(codes, DType.INT32)), absmax);
      }
    }

    /**
     * Encodes new values, where a step may be taken.
     *
     * @param signed whether codes are never of another sign than their values
     */
    void encode(Tensor values, boolean signed, Tensor allowed) {
      try (Aten at = new Aten()) {
        Tensor greatest = at.max(at.map("abs", values));
        Tensor divided = at.div(values, greatest);
        Tensor some = at.compare("gt", greatest, 0);
        Tensor x = at.where(some, divided, 0);
        Tensor code = at.countBelow(x, bounds, false);
        if (signed) {
          code = ofSign(at, x, code);
        }
        codes.copyFrom(at.where(allowed, at.as(code, DType.UINT8), codes));
        absmax.copyFrom(at.where(allowed, greatest, absmax));
      }
    }

    /** One entry further where the nearest is zero or beyond, as float32. */
    private Tensor ofSign(Aten at, Tensor x, Tensor code) {
      Tensor negative = at.compare("lt", at.lookUp(map, code), 0);
      Tensor positive = at.map("logical_not", negative);
      Tensor down = at.and(at.compare("lt", x, 0), positive);
      Tensor up = at.and(at.compare("gt", x, 0), negative);
      return at.sub(at.add(at.floats(code), at.floats(up)), at.floats(down));
    }
  }

  private static void update(KernelArguments arguments) {
    Tensor param = arguments.tensor();
    Tensor grad = arguments.tensor();
    Tensor[] codes = {arguments.tensor(), arguments.tensor()};
    Tensor[] absmax = {arguments.tensor(), arguments.tensor()};
    Tensor[] maps = {arguments.tensor(), arguments.tensor()};
    Tensor factor = arguments.tensor();
    long n = arguments.whole();
    AdamW constants = AdamW.next(arguments);
    try (Aten outer = new Aten()) {
      Moment first = new Moment(codes[0], absmax[0], maps[0], Moment.bounds(outer, maps[0]));
      Moment second = new Moment(codes[1], absmax[1], maps[1], Moment.bounds(outer, maps[1]));
      Tensor scale = outer.narrow(factor, 0, 0, 1);
      Tensor allowed = Optimizer.allowed(outer, factor);
      Parts.ofBlocks(
          n,
          BLOCK,
          (at, begin, count, width) -> {
            Tensor p = blocks(at, param, begin, count, width);
            Tensor g = at.mul(blocks(at, grad, begin, count, width), scale);
            Moment m = first.part(at, begin, count, width);
            Moment v = second.part(at, begin, count, width);
            AdamW.Updated updated = constants.update(at, p, g, m.decoded(at), v.decoded(at));
            p.copyFrom(at.where(allowed, updated.param(), p));
            m.encode(updated.first(), true, allowed);
            v.encode(updated.second(), false, allowed);
          });
    }
  }

  private static Tensor blocks(Aten at, Tensor flat, long begin, long count, long width) {
    return at.view(at.narrow(at.flat(flat), 0, begin, count * width), count, width);
  }
}
