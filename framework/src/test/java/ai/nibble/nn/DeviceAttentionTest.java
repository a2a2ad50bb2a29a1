package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.FusedAttention;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What surrounds the fused kernels on a GPU, over CPU tensors: the project's kernels compiled for
 * the host, libtorch's replaced by their definition, against attention on the CPU.
 */
@ParameterizedClass
@EnumSource
class DeviceAttentionTest extends FunctionTestCase {
  private static final int[] STARTS = {0, 5, 6, 17};

  /** Another frequency from this length on. */
  private static final int LONG = 6;

  /** In the place of libtorch's, and the project's own for scores with a cap. */
  private static final List<FusedAttention> KERNELS =
      List.of(new ExpandedHeads(new ReferenceFusedAttention(), 8), new ProductAttention());

  @Parameter KernelForm form;
  private KernelLaunchers.Installation kernels;

  @BeforeEach
  void install() {
    kernels = form.install();
  }

  @AfterEach
  void remove() {
    if (kernels != null) {
      kernels.close();
    }
  }

  /**
   * Shared and own heads, of elements that a kernel takes and that it does not; windows, caps that
   * are felt, heads that are rotated in part, sequences that are stretched from some length on.
   */
  private List<Attention> attentions() {
    return List.of(
        capped(4, 2, 8, Attention.NO_WINDOW, 1.5),
        capped(3, 3, 10, 4, 0.7),
        withRotary(new RotaryTable(frequencies(6, 10), 1.25, 10), 4, 2),
        withRotary(new RotaryTable(frequencies(8, 10), 1.5, 8, frequencies(8, 90), LONG), 4, 2),
        attention(4, 2, 8),
        attention(3, 3, 16),
        attention(6, 2, 6),
        attention(2, 1, 20),
        attention(3, 3, 10),
        attention(4, 2, 8, 4),
        attention(2, 1, 20, 1));
  }

  private Attention attention(int heads, int keyValueHeads, int d) {
    return attention(heads, keyValueHeads, d, Attention.NO_WINDOW);
  }

  private Attention attention(int heads, int keyValueHeads, int d, int window) {
    RotaryTable rotary = scope.own(new RotaryTable(frequencies(d, 10), 1));
    return new Attention(heads, keyValueHeads, rotary, 1 / Math.sqrt(d), window);
  }

  private Attention capped(int heads, int keyValueHeads, int d, int window, double cap) {
    Attention plain = attention(heads, keyValueHeads, d);
    return new Attention(heads, keyValueHeads, plain.rotary(), plain.scale(), window, cap);
  }

  private Attention withRotary(RotaryTable rotary, int heads, int keyValueHeads) {
    return new Attention(heads, keyValueHeads, scope.own(rotary), 0.3);
  }

  /** Those that compute it. */
  private static List<FusedAttention> kernels(Attention attention) {
    return attention.isCapped() ? KERNELS.subList(1, 2) : KERNELS;
  }

  private static String what(Attention attention, FusedAttention kernel) {
    return attention + " by " + kernel.getClass().getSimpleName();
  }

  private static int width(Attention attention) {
    return (attention.heads() + 2 * attention.keyValueHeads()) * attention.headDim();
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void sequencesAndTheirGradientsAreTheCpus(DType dtype) {
    Precision precision = new Precision(dtype, dtype);
    for (Attention attention : attentions()) {
      Pass pass = Pass.evaluating(STARTS);
      List<Tensor> inputs = List.of(input(3, pass.tokens(), width(attention)));
      Oracle.Result expected =
          Oracle.onTape(
              (tape, in) ->
                  tape.apply(
                      new AttentionFunction(attention, pass, precision, Earlier.NONE), in.get(0)),
              inputs,
              dtype,
              7);
      for (FusedAttention kernel : kernels(attention)) {
        Oracle.Result actual = differentiated(attention, kernel, pass, precision, inputs.get(0));
        String what = what(attention, kernel);
        Oracle.assertClose(what, expected.output(), actual.output(), tolerance(dtype));
        Oracle.assertClose(
            "gradient, " + what,
            expected.gradients().get(0),
            actual.gradients().get(0),
            tolerance(dtype));
      }
    }
  }

  /** By both ways: on a device, and on the CPU, where short sequences share a block. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void aSequenceChangesNoBitOfAnother(DType dtype) {
    Precision precision = new Precision(dtype, dtype);
    Pass pass = Pass.evaluating(STARTS);
    for (Attention attention : attentions()) {
      Tensor one = input(3, pass.tokens(), width(attention));
      for (int changed = 0; changed < pass.sequences(); changed++) {
        float[] values = one.toFloats();
        for (int i = STARTS[changed] * width(attention);
            i < STARTS[changed + 1] * width(attention);
            i++) {
          values[i] = 3 - values[i];
        }
        Tensor other = scope.own(Tensor.of(values, one.shape()));
        List<FusedAttention> ways = new ArrayList<>(kernels(attention));
        ways.add(null); // on the CPU
        for (FusedAttention way : ways) {
          Oracle.Result a = differentiated(attention, way, pass, precision, one);
          Oracle.Result b = differentiated(attention, way, pass, precision, other);
          assertFalse(Arrays.equals(a.output(), b.output()), "sequence " + changed);
          assertSameBeside(changed, a.output(), b.output());
          assertSameBeside(changed, a.gradients().get(0), b.gradients().get(0));
        }
      }
    }
  }

  /**
   * @param kernel null: on the CPU
   */
  private static Oracle.Result differentiated(
      Attention attention, FusedAttention kernel, Pass pass, Precision precision, Tensor qkv) {
    return Oracle.onTape(
        (tape, in) ->
            tape.apply(
                kernel == null
                    ? new AttentionFunction(attention, pass, precision, Earlier.NONE)
                    : new DeviceAttention(attention, kernel, pass, precision, Earlier.NONE),
                in.get(0)),
        List.of(qkv),
        precision.compute(),
        7);
  }

  /** Rows of a matrix that are of other sequences are the same. */
  private static void assertSameBeside(int changed, float[] a, float[] b) {
    int width = a.length / STARTS[STARTS.length - 1];
    for (int i = 0; i < a.length; i++) {
      boolean inside = i / width >= STARTS[changed] && i / width < STARTS[changed + 1];
      assertTrue(inside || a[i] == b[i], "element " + i + " is of another sequence");
    }
  }

  @Test
  void branchesSeeTheirTrunkAndThemselves() {
    Precision precision = Precision.of(DType.FLOAT32);
    int own = Pass.NO_TRUNK;
    Pass pass = Pass.branching(new int[] {0, 4, 6, 9, 12, 13}, new int[] {own, 0, 0, own, 3});
    for (Attention attention : attentions()) {
      Tensor qkv = input(4, pass.tokens(), width(attention));
      float[] expected = run(new AttentionFunction(attention, pass, precision, Earlier.NONE), qkv);
      for (FusedAttention kernel : kernels(attention)) {
        float[] actual =
            run(new DeviceAttention(attention, kernel, pass, precision, Earlier.NONE), qkv);
        Oracle.assertClose(what(attention, kernel), expected, actual, 1e-5);
        assertThrows(
            IllegalStateException.class,
            () -> differentiated(attention, kernel, pass, precision, qkv));
      }
    }
  }

  private static float[] run(ai.nibble.autograd.Function function, Tensor qkv) {
    try (Tape tape = Tape.inference();
        Variable in = tape.constant(qkv.share());
        Variable out = tape.apply(function, in)) {
      return out.value().toFloats();
    }
  }

  /** Prompts of different lengths, then a token and more tokens, together in one pass. */
  @Test
  void cachesGiveWhatWholeSequencesGive() {
    for (Attention attention : attentions()) {
      if (!attention.rotary().switches()) { // else what is cached is rotated otherwise
        kernels(attention).forEach(kernel -> assertCachesGiveTheSame(attention, kernel));
      }
    }
  }

  /** From the length on from which a sequence is stretched, all of it is. */
  @Test
  void cachesOfStretchedSequencesAreStretched() {
    Attention attention = attentions().stream().filter(a -> a.rotary().switches()).findAny().get();
    for (FusedAttention kernel : kernels(attention)) {
      int n = LONG + 5;
      Precision precision = Precision.of(DType.FLOAT32);
      KvCache cache = scope.own(new KvCache(1, 2, 8, 20, precision));
      Tensor qkv = input(10, n, width(attention));
      Pass whole = Pass.evaluating(0, n);
      float[] expected = run(new AttentionFunction(attention, whole, precision, Earlier.NONE), qkv);
      int row = attention.heads() * attention.headDim();
      for (int part : new int[] {LONG + 1, 1, 2, 1}) {
        Tensor own = scope.own(qkv.narrow(0, cache.length(), part));
        Pass pass = Pass.cached(List.of(cache), 0, part);
        float[] out = run(new DeviceCachedAttention(attention, kernel, pass, 0), own);
        int from = cache.length() * row;
        Oracle.assertClose(
            what(attention, kernel),
            Arrays.copyOfRange(expected, from, from + out.length),
            out,
            1e-5);
        cache.advance(part);
      }
    }
  }

  private void assertCachesGiveTheSame(Attention attention, FusedAttention kernel) {
    Precision precision = Precision.of(DType.FLOAT32);
    int[] lengths = {9, 14};
    int[][] parts = {{4, 1, 1, 3}, {9, 1, 3, 1}};
    Tensor[] qkv = new Tensor[lengths.length];
    float[][] whole = new float[lengths.length][];
    KvCache[] caches = new KvCache[lengths.length];
    for (int s = 0; s < lengths.length; s++) {
      qkv[s] = input(10 + s, lengths[s], width(attention));
      Pass pass = Pass.evaluating(0, lengths[s]);
      whole[s] = run(new AttentionFunction(attention, pass, precision, Earlier.NONE), qkv[s]);
      caches[s] =
          scope.own(new KvCache(1, attention.keyValueHeads(), attention.headDim(), 20, precision));
    }
    int row = attention.heads() * attention.headDim();
    for (int step = 0; step < parts[0].length; step++) {
      int a = parts[0][step];
      int b = parts[1][step];
      Tensor both = scope.own(Tensor.empty(DType.FLOAT32, a + b, width(attention)));
      copy(qkv[0], caches[0].length(), both, 0, a);
      copy(qkv[1], caches[1].length(), both, a, b);
      Pass pass = Pass.cached(List.of(caches), 0, a, a + b);
      float[] out = run(new DeviceCachedAttention(attention, kernel, pass, 0), both);
      for (int s = 0; s < 2; s++) {
        int from = caches[s].length() * row;
        int count = (s == 0 ? a : b) * row;
        Oracle.assertClose(
            "step " + step + ", " + attention.heads() + " heads",
            Arrays.copyOfRange(whole[s], from, from + count),
            Arrays.copyOfRange(out, s * a * row, s * a * row + count),
            1e-5);
        caches[s].advance(s == 0 ? a : b);
      }
    }
    assertEquals(lengths[0], caches[0].length());
  }

  private static void copy(Tensor from, long at, Tensor to, long where, long rows) {
    try (Tensor source = from.narrow(0, at, rows);
        Tensor target = to.narrow(0, where, rows)) {
      target.copyFrom(source);
    }
  }

  /** A step of decoding waits for no copy to the device: only the table is there. */
  @Test
  void aSingleTokenNeedsNoPositionsOnTheDevice() {
    Attention attention = attention(4, 2, 8);
    KvCache cache = scope.own(new KvCache(1, 2, 8, 20, Precision.of(DType.FLOAT32)));
    Tensor qkv = input(1, 1, width(attention));
    attention.rotary().onDevice(Device.CPU, Pass.cached(List.of(cache), 0, 1));
    long before = Tensor.live();
    Pass pass = Pass.cached(List.of(cache), 0, 1);
    run(new DeviceCachedAttention(attention, KERNELS.get(0), pass, 0), qkv);
    assertEquals(before, Tensor.live(), "what was copied stays with the pass");
  }

  @Test
  void blocksOfQueriesMeetTheKeysThatTheySee() {
    int[] starts = {0, 5, 6, 17, 90};
    for (int window : new int[] {Attention.NO_WINDOW, 1, 7, 40}) {
      for (int most : new int[] {16, 20, 512}) {
        List<QueryBlock> blocks = QueryBlock.of(starts, starts, window, 1, most, 1L << 40);
        int next = 0;
        for (QueryBlock block : blocks) {
          assertEquals(next, block.first());
          next += block.tokens();
          for (int t = block.first(); t < next; t++) {
            int begin = starts[sequence(starts, t)];
            int seen = window == 0 ? begin : Math.max(begin, t + 1 - window);
            assertTrue(seen >= block.firstKey() && t < block.firstKey() + block.keys());
          }
          assertEquals(next, block.firstKey() + block.keys(), "no key behind the last");
        }
        assertEquals(90, next);
      }
    }
    assertEquals(
        List.of(new QueryBlock(0, 16, 0, 16), new QueryBlock(16, 4, 0, 20)),
        QueryBlock.of(new int[] {0, 20}, new int[] {0, 20}, 0, 8, 512, 16 * 8 * 20));
    assertEquals(
        List.of(new QueryBlock(0, 3, 0, 20)),
        QueryBlock.of(new int[] {0, 3}, new int[] {0, 20}, 0, 8, 512, 1 << 20));
  }

  private static int sequence(int[] starts, int token) {
    int s = 0;
    while (starts[s + 1] <= token) {
      s++;
    }
    return s;
  }

  /** Sequences longer than a block, of which several meet the same keys. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void longSequencesAreTheCpus(DType dtype) {
    Precision precision = new Precision(dtype, dtype);
    Pass pass = Pass.evaluating(0, 30, 1230, 1400);
    for (Attention attention :
        List.of(capped(2, 1, 8, Attention.NO_WINDOW, 1.5), capped(2, 2, 8, 300, 0.7))) {
      Tensor qkv = input(5, pass.tokens(), width(attention));
      Oracle.Result expected = differentiated(attention, null, pass, precision, qkv);
      Oracle.Result actual =
          differentiated(attention, new ProductAttention(), pass, precision, qkv);
      String what = attention.toString();
      Oracle.assertClose(what, expected.output(), actual.output(), tolerance(dtype));
      Oracle.assertClose(
          "gradient, " + what,
          expected.gradients().get(0),
          actual.gradients().get(0),
          tolerance(dtype));
    }
  }
}
