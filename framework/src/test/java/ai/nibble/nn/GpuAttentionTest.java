package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.EfficientAttention;
import ai.nibble.tensor.FlashAttention;
import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.OutOfMemoryException;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** Attention on a GPU, by each kernel, is the CPU's; what differs is printed for each shape. */
@Tag("gpu")
class GpuAttentionTest extends FunctionTestCase {
  private static final Device GPU = new Device(Device.Type.CUDA, 0);
  private static final int[] STARTS = {0, 33, 34, 161, 460};
  private static final FusedAttention EFFICIENT =
      new ExpandedHeads(new EfficientAttention(), EfficientAttention.HEAD_DIM_UNIT);

  /** One shape of attention. */
  private record Case(
      DType dtype, int heads, int keyValueHeads, int headDim, int window, double cap) {
    Case(DType dtype, int heads, int keyValueHeads, int headDim, int window) {
      this(dtype, heads, keyValueHeads, headDim, window, Attention.NO_CAP);
    }

    Case(DType dtype, int heads, int keyValueHeads, int headDim) {
      this(dtype, heads, keyValueHeads, headDim, Attention.NO_WINDOW);
    }

    /** Those that compute it, the fastest last. */
    List<FusedAttention> kernels() {
      if (cap != Attention.NO_CAP) {
        return List.of(new ProductAttention());
      }
      return FlashAttention.takes(GPU, dtype, headDim)
          ? List.of(new ProductAttention(), EFFICIENT, new FlashAttention())
          : List.of(new ProductAttention(), EFFICIENT);
    }
  }

  private static final List<Case> CASES =
      List.of(
          new Case(DType.FLOAT32, 9, 3, 64),
          new Case(DType.FLOAT32, 4, 4, 128),
          new Case(DType.FLOAT32, 6, 2, 80),
          new Case(DType.FLOAT32, 4, 2, 12),
          new Case(DType.FLOAT32, 4, 1, 6),
          new Case(DType.FLOAT32, 2, 1, 264),
          new Case(DType.BFLOAT16, 9, 3, 64),
          new Case(DType.BFLOAT16, 4, 2, 12),
          new Case(DType.BFLOAT16, 2, 2, 320),
          new Case(DType.FLOAT32, 4, 2, 64, 48),
          new Case(DType.FLOAT32, 4, 2, 12, 1),
          new Case(DType.BFLOAT16, 8, 2, 128, 48),
          new Case(DType.BFLOAT16, 9, 3, 64, 129),
          new Case(DType.FLOAT32, 4, 2, 64, 48, 1.5),
          new Case(DType.FLOAT32, 4, 2, 12, 0, 50),
          new Case(DType.BFLOAT16, 8, 4, 256, 0, 50),
          new Case(DType.BFLOAT16, 8, 4, 256, 129, 1.5));

  @BeforeEach
  void findGpu() {
    assumeTrue(
        Torch.cudaAvailable() && KernelLaunchers.serves(GPU),
        "skipped: needs an NVIDIA GPU that libtorch and NVRTC can use");
  }

  private Attention attention(Case c) {
    RotaryTable rotary = scope.own(new RotaryTable(frequencies(c.headDim, 1e4), 1));
    return new Attention(
        c.heads, c.keyValueHeads, rotary, 1 / Math.sqrt(c.headDim), c.window, c.cap);
  }

  private Tensor qkv(Case c, int tokens) {
    return input(3, tokens, (long) (c.heads + 2 * c.keyValueHeads) * c.headDim);
  }

  private record Result(float[] output, float[] gradient) {}

  private static Result differentiated(Function function, Tensor qkv, DType dtype, Device device) {
    try (Tape tape = Tape.recording();
        Tensor typed = qkv.to(dtype)) {
      Variable in = tape.leaf(device.isCpu() ? typed.share() : typed.to(device));
      Variable out = tape.apply(function, in);
      float[] values = out.value().toFloats();
      try (Tensor grad = Oracle.gaussian(5, 1, out.value().shape());
          Tensor typedGrad = grad.to(dtype)) {
        tape.backward(out, device.isCpu() ? typedGrad.share() : typedGrad.to(device));
      }
      try (Tensor gradient = tape.takeGradient(in)) {
        return new Result(values, gradient.toFloats());
      }
    }
  }

  private static float[] run(Function function, Tensor qkv, DType dtype, Device device) {
    try (Tape tape = Tape.inference();
        Tensor typed = qkv.to(dtype);
        Variable in = tape.constant(device.isCpu() ? typed.share() : typed.to(device));
        Variable out = tape.apply(function, in)) {
      return out.value().toFloats();
    }
  }

  private static double worst(float[] expected, float[] actual) {
    assertEquals(expected.length, actual.length);
    double worst = 0;
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      double difference = Math.abs(expected[i] - actual[i]);
      worst = Double.isFinite(difference) ? Math.max(worst, difference) : Double.MAX_VALUE;
      largest = Math.max(largest, Math.abs(expected[i]));
    }
    return worst / largest;
  }

  /** Of the largest value: a score's sum of D products, and softmax, in float32 or bfloat16. */
  private static double bound(DType dtype) {
    return dtype == DType.FLOAT32 ? 2e-5 : 2e-2;
  }

  @Test
  void sequencesAndTheirGradientsAreTheCpus() {
    int failures = 0;
    for (Case c : CASES) {
      Attention attention = attention(c);
      Pass pass = Pass.evaluating(STARTS);
      Precision precision = Precision.of(c.dtype);
      Tensor qkv = qkv(c, pass.tokens());
      Result expected =
          differentiated(
              new AttentionFunction(attention, pass, precision, Earlier.NONE),
              qkv,
              c.dtype,
              Device.CPU);
      for (FusedAttention kernel : c.kernels()) {
        Precision here = Precision.of(c.dtype, GPU);
        Result first = device(attention, kernel, pass, here, qkv, c);
        Result second = device(attention, kernel, pass, here, qkv, c);
        double output = worst(expected.output, first.output);
        double gradient = worst(expected.gradient, first.gradient);
        boolean same =
            Arrays.equals(first.output, second.output)
                && Arrays.equals(first.gradient, second.gradient);
        boolean good = output <= bound(c.dtype) && gradient <= bound(c.dtype);
        failures += good && same ? 0 : 1;
        System.out.printf(
            Locale.ROOT,
            "%s by %s: output off by %.2g, gradient %.2g, same bits twice %s%s%n",
            c,
            kernel.getClass().getSimpleName(),
            output,
            gradient,
            same,
            good && same ? "" : "  <-- WRONG");
      }
    }
    assertEquals(0, failures, "see the lines above");
  }

  private static Result device(
      Attention attention,
      FusedAttention kernel,
      Pass pass,
      Precision precision,
      Tensor qkv,
      Case c) {
    return differentiated(
        new DeviceAttention(attention, kernel, pass, precision, Earlier.NONE), qkv, c.dtype, GPU);
  }

  @Test
  void branchesAndCachesAreTheCpus() {
    int failures = 0;
    int own = Pass.NO_TRUNK;
    Pass branching = Pass.branching(new int[] {0, 40, 46, 59, 72}, new int[] {own, 0, 0, own});
    for (Case c : CASES) {
      Attention attention = attention(c);
      Precision precision = Precision.of(c.dtype, GPU);
      FusedAttention kernel = c.kernels().get(c.kernels().size() - 1);
      Tensor qkv = qkv(c, branching.tokens());
      double branches =
          worst(
              run(
                  new AttentionFunction(attention, branching, Precision.of(c.dtype), Earlier.NONE),
                  qkv,
                  c.dtype,
                  Device.CPU),
              run(
                  new DeviceAttention(attention, kernel, branching, precision, Earlier.NONE),
                  qkv,
                  c.dtype,
                  GPU));
      double cached = cached(c, attention, kernel, precision);
      boolean good = branches <= bound(c.dtype) && cached <= bound(c.dtype);
      failures += good ? 0 : 1;
      System.out.printf(
          Locale.ROOT,
          "%s: branches off by %.2g, cached %.2g%s%n",
          c,
          branches,
          cached,
          good ? "" : "  <-- WRONG");
    }
    assertEquals(0, failures, "see the lines above");
  }

  /** A prompt, a few tokens at once, then single ones, against the whole sequence on the CPU. */
  private double cached(Case c, Attention attention, FusedAttention kernel, Precision precision) {
    int tokens = 310;
    Tensor qkv = qkv(c, tokens);
    Pass all = Pass.evaluating(0, tokens);
    float[] expected =
        run(
            new AttentionFunction(attention, all, Precision.of(c.dtype), Earlier.NONE),
            qkv,
            c.dtype,
            Device.CPU);
    float[] actual = new float[expected.length];
    try (KvCache cache = new KvCache(GPU, 1, c.keyValueHeads, c.headDim, tokens + 7, precision)) {
      int row = c.heads * c.headDim;
      int[] parts = {120, 3, 1, 1, 180, 1, 1, 1, 2};
      for (int part : parts) {
        Pass pass = Pass.cached(List.of(cache), 0, part);
        try (Tensor rows = qkv.narrow(0, cache.length(), part)) {
          float[] out =
              run(new DeviceCachedAttention(attention, kernel, pass, 0), rows, c.dtype, GPU);
          System.arraycopy(out, 0, actual, cache.length() * row, out.length);
        }
        cache.advance(part);
      }
      assertEquals(tokens, cache.length());
    }
    return worst(expected, actual);
  }

  /** The device computes on after it. */
  @Test
  void moreThanThereIsIsSaidInOneLine() {
    OutOfMemoryException e =
        assertThrows(OutOfMemoryException.class, () -> Tensor.empty(GPU, DType.FLOAT32, 1L << 40));
    System.out.println(e.getMessage());
    try (Tensor a = Tensor.of(GPU, new float[] {1, 2}, 2)) {
      assertArrayEquals(new float[] {1, 2}, a.toFloats());
    }
  }
}
