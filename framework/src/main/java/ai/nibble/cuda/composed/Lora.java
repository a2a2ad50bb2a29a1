package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.ComposedKernel;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelArguments;
import ai.nibble.tensor.Tensor;
import java.util.Map;

/** The kernels of {@code lora.cu}. */
public final class Lora {
  /** By name. */
  public static final Map<String, ComposedKernel> KERNELS =
      Map.of(
          "lora_extend", Lora::extend,
          "lora_dropout", Lora::dropout,
          "lora_input_gradient", Lora::inputGradient,
          "lora_up", Lora::up,
          "lora_down", Lora::down);

  private Lora() {}

  private static void extend(KernelArguments arguments) {
    Tensor extended = arguments.tensor();
    Tensor x = arguments.tensor();
    Tensor h = arguments.tensor();
    long in = arguments.whole();
    long rank = arguments.whole();
    long width = arguments.whole();
    try (Aten at = new Aten()) {
      at.narrow(extended, 1, 0, in).copyFrom(x);
      at.narrow(extended, 1, in, rank).copyFrom(h);
      at.narrow(extended, 1, in + rank, width - in - rank).zero();
    }
  }

  /**
   * What decides which elements are dropped: SplitMix64 of the key and the number of an element's
   * group of four gives 64 bits, 16 for each element.
   */
  private record Mask(long key, long threshold, float scale) {
    private static final long GOLDEN_GAMMA = 0x9E3779B97F4A7C15L;
    private static final long FIRST_FACTOR = 0xBF58476D1CE4E5B9L;
    private static final long SECOND_FACTOR = 0x94D049BB133111EBL;
    private static final int GROUP = 4;
    private static final int BITS = 16;

    static Mask next(KernelArguments arguments) {
      return new Mask(arguments.whole(), arguments.whole(), arguments.real());
    }

    /** What rows from {@code begin} on are multiplied by, float32 {@code [rows, width]}. */
    Tensor factors(Aten at, Tensor beside, long begin, long rows, long width) {
      long groups = (width + GROUP - 1) / GROUP; // a row begins with a group
      long first = key + GOLDEN_GAMMA * (begin * groups + 1);
      Tensor bits = mixed(at, at.sequence(beside, first, GOLDEN_GAMMA, rows * groups));
      Tensor each = at.empty(beside, DType.INT64, rows * groups, GROUP);
      for (int e = 0; e < GROUP; e++) {
        Tensor own = at.and(at.shiftRight(bits, (long) e * BITS), whole(at, bits, 0xffff));
        at.narrow(each, 1, e, 1).copyFrom(at.view(own, rows * groups, 1));
      }
      Tensor kept = at.compare("ge", each, whole(at, each, threshold));
      Tensor factors = at.mul(at.floats(kept), scale);
      return at.narrow(at.view(factors, rows, groups * GROUP), 1, 0, width);
    }

    private static Tensor mixed(Aten at, Tensor sequence) {
      Tensor z = sequence;
      z = at.mul(at.xor(z, at.shiftRight(z, 30)), whole(at, z, FIRST_FACTOR));
      z = at.mul(at.xor(z, at.shiftRight(z, 27)), whole(at, z, SECOND_FACTOR));
      return at.xor(z, at.shiftRight(z, 31));
    }

    private static Tensor whole(Aten at, Tensor beside, long value) {
      return at.filled(at.empty(beside, DType.INT64, 1), value);
    }
  }

  private static void dropout(KernelArguments arguments) {
    Tensor out = arguments.tensor();
    Tensor x = arguments.tensor();
    Mask mask = Mask.next(arguments.skip(2));
    Parts.ofRows(
        out.size(0),
        out.size(1),
        (at, begin, count) -> {
          Tensor rows = at.floats(at.narrow(x, 0, begin, count));
          Tensor factors = mask.factors(at, x, begin, count, out.size(1));
          at.narrow(out, 0, begin, count).copyFrom(at.mul(rows, factors));
        });
  }

  private static void inputGradient(KernelArguments arguments) {
    Tensor result = arguments.tensor();
    Tensor all = arguments.tensor();
    Tensor through = arguments.tensorOrNull();
    Tensor prior = arguments.tensorOrNull();
    long width = arguments.whole();
    Mask mask = Mask.next(arguments.skip(1));
    Parts.ofRows(
        result.size(0),
        width,
        (at, begin, count) -> {
          Tensor base = at.narrow(at.narrow(all, 0, begin, count), 1, 0, width);
          Tensor sum = at.floats(base);
          if (through != null) {
            Tensor more = at.floats(at.narrow(through, 0, begin, count));
            if (mask.threshold > 0) {
              more = at.mul(more, mask.factors(at, all, begin, count, width));
            }
            sum = at.add(sum, more);
          }
          if (prior != null) {
            sum = at.add(sum, at.floats(at.narrow(prior, 0, begin, count)));
          }
          at.narrow(result, 0, begin, count).copyFrom(sum);
        });
  }

  private static void up(KernelArguments arguments) {
    Tensor destination = arguments.tensor();
    Tensor b = arguments.tensorOrNull();
    long rows = arguments.whole();
    long firstRow = arguments.skip(1).whole();
    long first = arguments.whole();
    long ranks = arguments.whole();
    long column = arguments.whole();
    long r = arguments.whole();
    double scaling = arguments.wideReal();
    try (Aten at = new Aten()) {
      Tensor own = at.narrow(at.narrow(destination, 0, firstRow, rows), 1, first, ranks);
      own.zero();
      if (b != null) {
        Tensor scaled = at.floats(at.mul(at.doubles(b), scaling));
        at.narrow(own, 1, column, r).copyFrom(scaled);
      }
    }
  }

  private static void down(KernelArguments arguments) {
    Tensor destination = arguments.tensor();
    Tensor a = arguments.tensor();
    long first = arguments.whole();
    try (Aten at = new Aten()) {
      at.narrow(at.flat(destination), 0, first, a.numel()).copyFrom(at.flat(a));
    }
  }
}
