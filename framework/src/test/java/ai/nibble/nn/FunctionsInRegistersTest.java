package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Functions of sizes that are gone over in 512-bit registers in bfloat16, against themselves in
 * float32, which is not, and which the engine and differences vouch for.
 */
class FunctionsInRegistersTest extends FunctionTestCase {
  /** bfloat16 products on every CPU, so that sums and scores are of it. */
  private static final Precision BFLOAT16 = new Precision(DType.BFLOAT16, DType.BFLOAT16);

  private static final Precision FLOAT32 = new Precision(DType.FLOAT32, DType.FLOAT32);

  @BeforeEach
  void needsRegisters() {
    assumeTrue(
        PairRows.isAvailable(),
        "skipped: needs 512-bit registers and --add-modules jdk.incubator.vector");
  }

  /** Fails unless output and gradients are those of float32 on the same values. */
  private void assertIsThatOfFloat32(
      Function<Precision, Oracle.OnTape> function, List<Tensor> inputs) {
    List<Tensor> values = new ArrayList<>();
    for (Tensor input : inputs) {
      try (Tensor rounded = input.to(DType.BFLOAT16)) {
        values.add(scope.own(rounded.to(DType.FLOAT32)));
      }
    }
    Oracle.Result wide = Oracle.onTape(function.apply(FLOAT32), values, DType.FLOAT32, 99);
    Oracle.Result ours = Oracle.onTape(function.apply(BFLOAT16), values, DType.BFLOAT16, 99);
    double tolerance = tolerance(DType.BFLOAT16);
    Oracle.assertClose("output", wide.output(), ours.output(), tolerance);
    for (int i = 0; i < values.size(); i++) {
      Oracle.assertClose(
          "gradient of input " + i, wide.gradients().get(i), ours.gradients().get(i), tolerance);
    }
  }

  /** Values that bfloat16 has. */
  private Tensor weight(long seed, double size, long... shape) {
    try (Tensor plain = Oracle.gaussian(seed, size, shape);
        Tensor rounded = plain.to(DType.BFLOAT16)) {
      return scope.own(rounded.to(DType.FLOAT32));
    }
  }

  /** More rows than a thread takes at a time; where they branch, gradients are added to others. */
  @ParameterizedTest
  @EnumSource(NormScale.class)
  void norms(NormScale scale) {
    assertTrue(PairRows.fit(96));
    RmsNorm norm = scope.own(new RmsNorm(weight(1, 1, 96).share(), 1e-5, scale));
    assertIsThatOfFloat32(
        precision ->
            (tape, in) -> tape.apply(new Residual(), in.get(0), norm.apply(tape, in.get(0))),
        List.of(input(2, 700, 96)));
    assertIsThatOfFloat32(
        precision -> (tape, in) -> norm.apply(tape, in.get(0)), List.of(input(3, 256, 96)));
  }

  private Attention attention(int heads, int keyValueHeads, int headDim) {
    float[] near = frequencies(headDim, 1e4);
    float[] far = frequencies(headDim, 1e6);
    RotaryTable rotary = scope.own(new RotaryTable(near, 1.2, headDim, far, 165));
    assertTrue(rotary.inRegisters());
    return new Attention(heads, keyValueHeads, rotary, 1 / Math.sqrt(headDim));
  }

  /** A pack of sequences, the last long enough for frequencies of its own. */
  @ParameterizedTest
  @ValueSource(ints = {64, 128})
  void attentionOfPacks(int headDim) {
    Attention attention = attention(4, 2, headDim);
    Pass pass = new Pass(new int[] {0, 160, 161, 330}, true, 7);
    assertIsThatOfFloat32(
        precision -> (tape, in) -> attention.apply(tape, in.get(0), pass, precision),
        List.of(input(11, 330, 8L * headDim)));
  }

  /** So many that a probability rounded otherwise here and there is seen in what comes out. */
  @Test
  void trainingAndEvaluatingGiveTheSameBits() {
    Attention attention = attention(4, 2, 64);
    Tensor qkv = scope.own(scope.own(Oracle.gaussian(12, 1, 512, 512)).to(DType.BFLOAT16));
    int[] starts = {0, 512};
    float[][] outputs = new float[2][];
    for (int i = 0; i < 2; i++) {
      Pass pass = i == 0 ? new Pass(starts, true, 7) : Pass.evaluating(starts);
      try (Tape tape = Tape.inference();
          Variable in = tape.constant(qkv.share());
          Variable out = attention.apply(tape, in, pass, BFLOAT16)) {
        outputs[i] = out.value().toFloats();
      }
    }
    assertArrayEquals(outputs[0], outputs[1]);
  }

  private int[] targets(int rows, int vocabulary) {
    int[] targets = new int[rows];
    for (int i = 0; i < rows; i++) {
      targets[i] = (i * 7 + i / 13) % vocabulary;
    }
    return targets;
  }

  /** More rows than a chunk. */
  @Test
  void lossesByTheVocabulary() {
    int rows = 530;
    DenseWeight head = new DenseWeight(weight(13, 0.5, 96, 32));
    int[] targets = targets(rows, 96);
    List<Tensor> inputs = List.of(input(14, rows, 32));
    assertIsThatOfFloat32(
        precision ->
            (tape, in) ->
                tape.apply(
                    new LinearCrossEntropy(
                        Head.of(head), targets, 100, precision, work, new LogitCap(LogitCap.NONE)),
                    in.get(0)),
        inputs);
    assertIsThatOfFloat32(
        precision ->
            (tape, in) -> tape.apply(new LinearLogProbs(head, targets, precision, work), in.get(0)),
        inputs);
  }

  /** An adapter beside the weight, and the gradient of another reader of the same input. */
  @Test
  void gradientsOfLinears() {
    int width = 64;
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("a", new long[] {6, width});
    shapes.put("b", new long[] {width, 6});
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    parameters.values().floats().put(0, Oracle.gaussians(30, (int) parameters.numel(), 0.3));
    Linear linear = new Linear("m", new DenseWeight(weight(10, 0.2, width, width).share()), null);
    linear.attach(new LowRank(parameters.get("a"), parameters.get("b"), 1.5, 0));
    LinearGroup group = scope.own(new LinearGroup(3, List.of(linear)));
    Pass pass = new Pass(new int[] {0, 700}, true, 77);
    List<Tensor> inputs = List.of(input(7, 700, width));
    assertIsThatOfFloat32(
        precision -> (tape, in) -> group.apply(tape, in.get(0), pass, precision, work), inputs);
    assertIsThatOfFloat32(
        precision ->
            (tape, in) ->
                tape.apply(
                    new Residual(), in.get(0), group.apply(tape, in.get(0), pass, precision, work)),
        inputs);
  }

  /** Logits with a cap are not gone over so: each thread has two windows on them. */
  @Test
  void whatCappedLogitsHoldIsSaid() {
    Extent extent =
        new Extent(new int[] {0, 300}, BFLOAT16, Device.Type.CPU, false, Torch.threads());
    TableShape head = TableShape.of(DType.BFLOAT16, false);
    Footprint plain = LinearCrossEntropy.footprint(extent, 300, 32, 96, head, true);
    Footprint capped = LinearCrossEntropy.footprint(extent, 300, 32, 96, head.withCap(true), true);
    long window = extent.bytes(DType.FLOAT32, 32768 / (2 * 96), 96);
    assertEquals(2 * Torch.threads() * window, capped.forward() - plain.forward());
  }
}
