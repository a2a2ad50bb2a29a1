package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.EngineSegment;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class FunctionsTest extends FunctionTestCase {
  private static final Precision FLOAT32 = Precision.of(DType.FLOAT32);

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void rmsNormAgreesWithTheEngine(DType dtype) {
    Tensor weight = Oracle.gaussian(1, 1, 37);
    RmsNorm norm = scope.own(new RmsNorm(weight, 1e-5));
    List<Tensor> inputs = List.of(input(2, 70, 37));
    Oracle.assertAgreesWithEngine(
        (tape, in) -> norm.apply(tape, in.get(0)),
        (in, manager) -> rmsNorm(in.get(0), weight, 1e-5, manager),
        inputs,
        dtype,
        tolerance(dtype));
    Oracle.assertAgreesWithDifferences((tape, in) -> norm.apply(tape, in.get(0)), inputs);
  }

  /** Once rounded or twice is within the tolerance; the 1 that is added to the weight is not. */
  @ParameterizedTest
  @CsvSource({"FLOAT32, EXACT", "BFLOAT16, EXACT", "FLOAT32, OFFSET", "BFLOAT16, OFFSET"})
  void rmsNormOfEveryScaleAgreesWithTheEngine(DType dtype, NormScale scale) {
    Tensor weight = Oracle.gaussian(1, 1, 37);
    RmsNorm norm = scope.own(new RmsNorm(weight, 1e-5, scale));
    float[] factors = weight.toFloats();
    for (int c = 0; c < factors.length; c++) {
      factors[c] += scale == NormScale.OFFSET ? 1 : 0;
    }
    Tensor factor = scope.own(Tensor.of(factors, 37));
    List<Tensor> inputs = List.of(input(2, 70, 37));
    Oracle.OnTape ours = (tape, in) -> norm.apply(tape, in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> rmsNorm(in.get(0), factor, 1e-5, manager),
        inputs,
        dtype,
        tolerance(dtype));
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }

  /** In bfloat16 the value is rounded once, behind the weight: to the bit what float32 gives. */
  @ParameterizedTest
  @EnumSource(names = {"EXACT", "OFFSET"})
  void aScaleInFloat32IsRoundedOnce(NormScale scale) {
    Tensor weight = scope.own(Oracle.gaussian(1, 1, 37));
    RmsNorm norm = scope.own(new RmsNorm(weight.share(), 1e-5, scale));
    Tensor x = scope.own(input(2, 70, 37).to(DType.BFLOAT16));
    try (Tape tape = Tape.inference()) {
      float[] once = norm.apply(tape, tape.constant(x.share())).value().toFloats();
      Variable exact = norm.apply(tape, tape.constant(x.to(DType.FLOAT32)));
      try (Tensor rounded = exact.value().to(DType.BFLOAT16)) {
        assertArrayEquals(rounded.toFloats(), once);
      }
    }
  }

  /** All heads together, more of queries than of keys. */
  @Test
  void normsOfWholeProjectionsAgreeWithTheEngine() {
    Tensor query = Oracle.gaussian(51, 1, 30);
    Tensor key = Oracle.gaussian(52, 1, 20);
    HeadNorm norm =
        scope.own(
            new HeadNorm(
                new RmsNorm(query, 1e-5, NormScale.EXACT),
                new RmsNorm(key, 1e-5, NormScale.EXACT),
                1,
                1));
    List<Tensor> inputs = List.of(input(53, 70, 70));
    Oracle.OnTape ours = (tape, in) -> norm.apply(tape, in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray q = headNorm(in.get(0).get(":, :30"), query, manager);
          NDArray k = headNorm(in.get(0).get(":, 30:50"), key, manager);
          return q.concat(k, 1).concat(in.get(0).get(":, 50:"), 1);
        },
        inputs,
        DType.FLOAT32,
        tolerance(DType.FLOAT32));
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void headNormAgreesWithTheEngine(DType dtype) {
    int d = 10;
    Tensor query = Oracle.gaussian(51, 1, d);
    Tensor key = Oracle.gaussian(52, 1, d);
    HeadNorm norm = scope.own(new HeadNorm(new RmsNorm(query, 1e-5), new RmsNorm(key, 1e-5), 3, 2));
    List<Tensor> inputs = List.of(input(53, 70, 7 * d));
    Oracle.OnTape ours = (tape, in) -> norm.apply(tape, in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray q = headNorm(in.get(0).get(":, :" + 3 * d), query, manager);
          NDArray k = headNorm(in.get(0).get(":, " + 3 * d + ":" + 5 * d), key, manager);
          return q.concat(k, 1).concat(in.get(0).get(":, " + 5 * d + ":"), 1);
        },
        inputs,
        dtype,
        tolerance(dtype));
    if (dtype == DType.FLOAT32) {
      Oracle.assertAgreesWithDifferences(ours, inputs);
    }
  }

  private static NDArray headNorm(NDArray heads, Tensor weight, NDManager manager) {
    Shape shape = heads.getShape();
    long d = weight.numel();
    NDArray rows = heads.reshape(shape.size() / d, d);
    return rmsNorm(rows, weight, 1e-5, manager).reshape(shape);
  }

  private static NDArray rmsNorm(NDArray x, Tensor weight, double eps, NDManager manager) {
    NDArray meanSquare = x.mul(x).mean(new int[] {1}, true).add(eps);
    return x.div(meanSquare.sqrt()).mul(NdArrays.toNdArray(weight, manager));
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void swiGluAgreesWithTheEngine(DType dtype) {
    List<Tensor> inputs = List.of(input(3, 9, 26));
    Oracle.OnTape ours = (tape, in) -> tape.apply(new SwiGlu(), in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray gate = in.get(0).get(":, :13");
          return gate.mul(gate.neg().exp().add(1).pow(NdArrays.scalar(gate, -1)))
              .mul(in.get(0).get(":, 13:"));
        },
        inputs,
        dtype,
        tolerance(dtype));
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void geGluAgreesWithTheEngine(DType dtype) {
    // wider values than a normal's: both flat ends of tanh
    List<Tensor> inputs = List.of(scope.own(Oracle.gaussian(3, 3, 9, 26)));
    Oracle.OnTape ours = (tape, in) -> tape.apply(new GeGlu(), in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray x = in.get(0).get(":, :13");
          NDArray u =
              x.add(x.mul(x).mul(x).mul(NdArrays.scalar(x, 0.044715)))
                  .mul(NdArrays.scalar(x, Math.sqrt(2 / Math.PI)));
          return x.mul(NdArrays.scalar(x, 0.5)).mul(u.tanh().add(1)).mul(in.get(0).get(":, 13:"));
        },
        inputs,
        dtype,
        tolerance(dtype));
    if (dtype == DType.FLOAT32) {
      Oracle.assertAgreesWithDifferences(ours, List.of(input(3, 9, 26)));
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void residualAndBranchShareGradientsSafely(DType dtype) {
    List<Tensor> inputs = List.of(input(4, 3, 8));
    Tensor weight = Oracle.gaussian(5, 1, 8);
    RmsNorm norm = scope.own(new RmsNorm(weight, 1e-6));
    Oracle.OnTape ours =
        (tape, in) -> {
          Variable x = in.get(0);
          Variable once = tape.apply(new Residual(), x, norm.apply(tape, x));
          return tape.apply(new Residual(), tape.apply(new Residual(), once, once), x);
        };
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray once = in.get(0).add(rmsNorm(in.get(0), weight, 1e-6, manager));
          return once.add(once).add(in.get(0));
        },
        inputs,
        dtype,
        tolerance(dtype));
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }

  /** Rows and their gradients are moved, so nothing is rounded here. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void selectedRowsPassTheirGradientsBack(DType dtype) {
    List<Tensor> inputs = List.of(input(6, 7, 5));
    Oracle.OnTape ours = (tape, in) -> tape.apply(new SelectRows(new int[] {0, 3, 6}), in.get(0));
    // but the engine's gradient of the output is not rounded to bfloat16: 2⁻⁸ of each value at most
    double tolerance = dtype == DType.FLOAT32 ? 0 : 1.0 / 256;
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray x = in.get(0);
          return x.get("0:1").concat(x.get("3:4"), 0).concat(x.get("6:7"), 0);
        },
        inputs,
        dtype,
        tolerance);
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }

  @Test
  void dropoutDropsItsShareAndKeepsTheMean() {
    float[] row = new float[1 << 16];
    Arrays.fill(row, 1);
    Dropout.apply(row, row.length, 0, 5, 0.1);
    double sum = 0;
    int dropped = 0;
    for (float v : row) {
      sum += v;
      dropped += v == 0 ? 1 : 0;
    }
    // six standard deviations of a binomial share
    assertEquals(0.1, dropped / 65536.0, 6 * Math.sqrt(0.09 / 65536));
    assertEquals(1, sum / 65536, 6 * Math.sqrt(0.09 / 65536) / 0.9);
    float[] again = new float[64];
    Arrays.fill(again, 1);
    Dropout.apply(again, 64, 128, 5, 0.1);
    assertArrayEquals(Arrays.copyOfRange(row, 128, 192), again);
  }

  private RotaryTable rotary(int headDim) {
    float[] frequencies = new float[headDim / 2];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) Math.pow(100, -2.0 * i / headDim);
    }
    return scope.own(new RotaryTable(frequencies, 1));
  }

  /** Attention of one sequence by the textbook, over repeated heads and a full mask. */
  private static NDArray attention(NDArray qkv, Attention shape, NDManager manager) {
    int heads = shape.heads();
    int kvHeads = shape.keyValueHeads();
    int d = shape.headDim();
    long t = qkv.getShape().get(0);
    NDArray q = rotated(qkv.get(":, :" + heads * d).reshape(t, heads, d), manager);
    int end = (heads + kvHeads) * d;
    NDArray k = rotated(qkv.get(":, " + heads * d + ":" + end).reshape(t, kvHeads, d), manager);
    NDArray v = qkv.get(":, " + end + ":").reshape(t, kvHeads, d);
    k = k.repeat(1, heads / kvHeads).transpose(1, 2, 0);
    v = v.repeat(1, heads / kvHeads).transpose(1, 0, 2);
    NDArray scores = q.transpose(1, 0, 2).matMul(k).mul(NdArrays.scalar(q, 1 / Math.sqrt(d)));
    if (shape.cap() > 0) {
      NDArray cap = NdArrays.scalar(scores, shape.cap());
      scores = scores.div(cap).tanh().mul(cap);
    }
    float[] mask = new float[(int) (t * t)];
    for (int i = 0; i < t; i++) {
      for (int j = 0; j < t; j++) {
        boolean seen = j <= i && (shape.window() == 0 || j > i - shape.window());
        mask[(int) (i * t + j)] = seen ? 0 : -1e9f;
      }
    }
    NDArray p = scores.add(manager.create(mask, new Shape(t, t))).softmax(2);
    return p.matMul(v).transpose(1, 0, 2).reshape(t, (long) heads * d);
  }

  private static NDArray rotated(NDArray x, NDManager manager) {
    long t = x.getShape().get(0);
    int d = (int) x.getShape().get(2);
    float[] cos = new float[(int) t * d];
    float[] sin = new float[(int) t * d];
    for (int p = 0; p < t; p++) {
      for (int i = 0; i < d; i++) {
        double angle = p * Math.pow(100, -2.0 * (i % (d / 2)) / d);
        cos[p * d + i] = (float) Math.cos(angle);
        sin[p * d + i] = (float) Math.sin(angle);
      }
    }
    NDArray halves = x.get(":, :, " + d / 2 + ":").neg().concat(x.get(":, :, :" + d / 2), 2);
    return x.mul(manager.create(cos, new Shape(t, 1, d)))
        .add(halves.mul(manager.create(sin, new Shape(t, 1, d))));
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void attentionAgreesWithTheTextbook(DType dtype) {
    assertIsTextbookAttention(
        dtype,
        (attention, pass) ->
            (tape, in) -> attention.apply(tape, in.get(0), pass, Precision.of(dtype)));
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void attentionInManySmallBlocksAgreesWithTheTextbook(DType dtype) {
    // one byte of scores gives the smallest blocks, 16 tokens: ten of them in the longest sequence;
    // bfloat16 products on every CPU, so that sums of blocks are what is tested
    Precision precision = new Precision(dtype, dtype);
    assertIsTextbookAttention(
        dtype,
        (attention, pass) ->
            (tape, in) ->
                tape.apply(
                    new AttentionFunction(attention, pass, precision, Earlier.NONE, 1), in.get(0)));
  }

  private interface AttentionUnderTest {
    Oracle.OnTape of(Attention attention, Pass pass);
  }

  private void assertIsTextbookAttention(DType dtype, AttentionUnderTest underTest) {
    for (int window : new int[] {Attention.NO_WINDOW, 1, 40}) {
      assertIsTextbookAttention(dtype, window, Attention.NO_CAP, underTest);
    }
    // a cap that most scores feel
    assertIsTextbookAttention(dtype, Attention.NO_WINDOW, 1.5, underTest);
    assertIsTextbookAttention(dtype, 40, 0.7, underTest);
  }

  private void assertIsTextbookAttention(
      DType dtype, int window, double cap, AttentionUnderTest underTest) {
    int heads = 4;
    int kvHeads = 2;
    int d = 8;
    // one sequence longer than a block, one of a single token
    int[] starts = {0, 150, 151, 164};
    Attention attention = new Attention(heads, kvHeads, rotary(d), 1 / Math.sqrt(d), window, cap);
    List<Tensor> inputs = List.of(input(11, 164, (heads + 2L * kvHeads) * d));
    Oracle.OnTape ours = underTest.of(attention, Pass.evaluating(starts));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray all = null;
          for (int s = 0; s + 1 < starts.length; s++) {
            NDArray part = in.get(0).get(starts[s] + ":" + starts[s + 1]);
            NDArray one = attention(part, attention, manager);
            all = all == null ? one : all.concat(one, 0);
          }
          return all;
        },
        inputs,
        dtype,
        tolerance(dtype));
    if (dtype == DType.FLOAT32) {
      Oracle.assertAgreesWithDifferences(ours, inputs);
    }
  }

  @Test
  void aSequenceNeverSeesAnother() {
    Attention attention = new Attention(2, 1, rotary(4), 0.5);
    float[] values = Oracle.gaussians(12, 10 * 16, 1);
    float[] before = attend(attention, values);
    for (int i = 0; i < 6 * 16; i++) {
      values[i] = -values[i] * 3;
    }
    float[] after = attend(attention, values);
    for (int i = 6 * 8; i < 10 * 8; i++) {
      assertEquals(before[i], after[i], 0);
    }
  }

  private float[] attend(Attention attention, float[] values) {
    try (Tape tape = Tape.inference()) {
      Variable qkv = tape.constant(Tensor.of(values, 10, 16));
      return attention.apply(tape, qkv, Pass.evaluating(0, 6, 10), FLOAT32).value().toFloats();
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void crossEntropyAgreesWithTheEngine(DType dtype) {
    assertIsCrossEntropy(dtype, LogitCap.NONE);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void crossEntropyOfCappedLogitsAgreesWithTheEngine(DType dtype) {
    assertIsCrossEntropy(dtype, 0.8);
  }

  private void assertIsCrossEntropy(DType dtype, double cap) {
    // more rows than a chunk
    int rows = 530;
    int vocabulary = 21;
    int[] targets = new int[rows];
    for (int i = 0; i < rows; i++) {
      targets[i] = (i * 7 + i / 13) % vocabulary;
    }
    Tensor w = scope.own(scope.own(Oracle.gaussian(13, 0.5, vocabulary, 6)).to(dtype));
    DenseWeight head = new DenseWeight(w);
    List<Tensor> inputs = List.of(input(14, rows, 6));
    Precision precision = precision(dtype);
    Oracle.OnTape ours =
        (tape, in) ->
            tape.apply(
                new LinearCrossEntropy(
                    Head.of(head), targets, 100, precision, work, new LogitCap(cap)),
                in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray weight = NdArrays.toNdArray(scope.own(w.to(DType.FLOAT32)), manager);
          NDArray logits = in.get(0).matMul(weight.transpose());
          NDArray limit = NdArrays.scalar(logits, cap);
          NDArray capped = cap == 0 ? logits : logits.div(limit).tanh().mul(limit);
          NDArray logs = capped.logSoftmax(1);
          NDArray oneHot = manager.create(targets).oneHot(vocabulary);
          return logs.mul(oneHot).sum().neg().div(NdArrays.scalar(logs, 100)).reshape(1);
        },
        inputs,
        dtype,
        tolerance(dtype));
    if (dtype == DType.FLOAT32) {
      Oracle.assertAgreesWithDifferences(ours, inputs);
    }
  }

  @Test
  void anEngineSegmentIsDifferentiatedInTheMiddleOfATape() {
    List<Tensor> inputs = List.of(input(16, 4, 6), input(17, 4, 6));
    Tensor weight = Oracle.gaussian(18, 1, 6);
    RmsNorm norm = scope.own(new RmsNorm(weight, 1e-6));
    Oracle.OnTape ours =
        (tape, in) -> {
          Variable product =
              tape.apply(
                  new EngineSegment(l -> new NDList(l.get(0).mul(l.get(1)).tanh())),
                  in.get(0),
                  in.get(1));
          return tape.apply(new Residual(), norm.apply(tape, product), in.get(1));
        };
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray product = in.get(0).mul(in.get(1)).tanh();
          return rmsNorm(product, weight, 1e-6, manager).add(in.get(1));
        },
        inputs,
        DType.FLOAT32,
        tolerance(DType.FLOAT32));
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }
}
