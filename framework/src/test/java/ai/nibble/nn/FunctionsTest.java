package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.nibble.autograd.Checkpoint;
import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.EngineSegment;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

class FunctionsTest extends FunctionTestCase {
  private static final Precision FLOAT32 = Precision.of(DType.FLOAT32);

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void rmsNormAgreesWithTheEngine(DType dtype) {
    Tensor weight = Oracle.gaussian(1, 1, 37);
    RmsNorm norm = scope.own(new RmsNorm(weight, 1e-5));
    List<Tensor> inputs = List.of(input(2, 70, 37));
    Oracle.assertAgreesWithEngine(
        (tape, in) -> norm.apply(tape, in.get(0)),
        (in, manager) -> {
          NDArray x = in.get(0);
          NDArray meanSquare = x.mul(x).mean(new int[] {1}, true).add(1e-5);
          return x.div(meanSquare.sqrt()).mul(NdArrays.toNdArray(weight, manager));
        },
        inputs,
        dtype,
        tolerance(dtype));
    Oracle.assertAgreesWithDifferences((tape, in) -> norm.apply(tape, in.get(0)), inputs);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void swiGluAgreesWithTheEngine(DType dtype) {
    List<Tensor> inputs = List.of(input(3, 9, 26));
    Oracle.OnTape ours = (tape, in) -> tape.apply(new SwiGlu(), in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray gate = in.get(0).get(":, :13");
          return gate.mul(gate.neg().exp().add(1).pow(-1)).mul(in.get(0).get(":, 13:"));
        },
        inputs,
        dtype,
        tolerance(dtype));
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }

  @Test
  void residualAndBranchShareGradientsSafely() {
    List<Tensor> inputs = List.of(input(4, 3, 8));
    RmsNorm norm = scope.own(new RmsNorm(Oracle.gaussian(5, 1, 8), 1e-6));
    Oracle.OnTape ours =
        (tape, in) -> {
          Variable x = in.get(0);
          Variable once = tape.apply(new Residual(), x, norm.apply(tape, x));
          return tape.apply(new Residual(), tape.apply(new Residual(), once, once), x);
        };
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }

  @Test
  void selectedRowsPassTheirGradientsBack() {
    List<Tensor> inputs = List.of(input(6, 7, 5));
    Oracle.assertAgreesWithDifferences(
        (tape, in) -> tape.apply(new SelectRows(new int[] {0, 3, 6}), in.get(0)), inputs);
  }

  /** A group of three linears: adapters of rank 2 and 3 on the outer two, a bias on the first. */
  LinearGroup group(ParameterSet parameters, double dropout) {
    int[] outs = {6, 4, 5};
    List<Linear> members = new ArrayList<>();
    for (int m = 0; m < outs.length; m++) {
      Tensor bias = m == 0 ? Oracle.gaussian(20, 1, outs[m]) : null;
      Linear linear =
          new Linear("m" + m, new DenseWeight(Oracle.gaussian(10 + m, 0.3, outs[m], 9)), bias);
      if (m != 1) {
        linear.attach(
            new LowRank(parameters.get("a" + m), parameters.get("b" + m), 1.5 + m, dropout));
      }
      members.add(linear);
    }
    return scope.own(new LinearGroup(3, members));
  }

  ParameterSet parameters() {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("a0", new long[] {2, 9});
    shapes.put("b0", new long[] {6, 2});
    shapes.put("a2", new long[] {3, 9});
    shapes.put("b2", new long[] {5, 3});
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    parameters.values().floats().put(0, Oracle.gaussians(30, (int) parameters.numel(), 0.5));
    return parameters;
  }

  private static NDArray lowRank(NDList in, int a, double scaling) {
    return in.get(0).matMul(in.get(a).transpose()).matMul(in.get(a + 1).transpose()).mul(scaling);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void linearGroupAgreesWithTheEngineInInputsAndParameters(DType dtype) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, 0.5);
    Pass pass = Pass.evaluating(0, 11);
    Precision precision = Precision.of(dtype);
    Tensor x = input(7, 11, 9);
    Oracle.Result ours =
        Oracle.onTape(
            (tape, in) -> group.apply(tape, in.get(0), pass, precision, work),
            List.of(x),
            dtype,
            99);
    try (NDManager manager = NdArrays.newManager()) {
      NDList in = new NDList(NdArrays.toLeaf(x, manager));
      parameters.parameters().forEach(p -> in.add(NdArrays.toLeaf(p.value(), manager)));
      NDArray y = NdArrays.recording(() -> linearGroup(group, in, manager));
      Oracle.assertClose("output", y.toFloatArray(), ours.output(), tolerance(dtype));
      Tensor grad = scope.own(Oracle.gaussian(99, 1, 11, 15));
      List<Tensor> theirs = NdArrays.backward(y, grad, in);
      theirs.forEach(scope::own);
      Oracle.assertClose("dx", theirs.get(0).toFloats(), ours.gradients().get(0), tolerance(dtype));
      for (int i = 0; i < parameters.parameters().size(); i++) {
        Parameter p = parameters.parameters().get(i);
        Oracle.assertClose(
            p.name(), theirs.get(i + 1).toFloats(), p.grad().toFloats(), tolerance(dtype));
      }
    }
  }

  private static NDArray linearGroup(LinearGroup group, NDList in, NDManager manager) {
    NDArray[] y = new NDArray[3];
    for (int m = 0; m < 3; m++) {
      Tensor weight = ((DenseWeight) group.members().get(m).weight()).tensor();
      y[m] = in.get(0).matMul(NdArrays.toNdArray(weight, manager).transpose());
    }
    NDArray bias = NdArrays.toNdArray(group.members().get(0).bias(), manager);
    NDArray first = y[0].add(bias).add(lowRank(in, 1, 1.5));
    return first.concat(y[1], 1).concat(y[2].add(lowRank(in, 3, 3.5)), 1);
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 0.3})
  void linearGroupAgreesWithDifferencesAlsoUnderDropout(double dropout) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, dropout);
    Tensor x = input(8, 11, 9);
    Pass pass = new Pass(new int[] {0, 11}, true, 77);
    Oracle.OnTape ours = (tape, in) -> group.apply(tape, in.get(0), pass, FLOAT32, work);
    Oracle.assertAgreesWithDifferences(ours, List.of(x));
    parameters.grads().zero();
    Oracle.onTape(ours, List.of(x), DType.FLOAT32, 99);
    float[] gradient = parameters.grads().toFloats();
    float[] at = parameters.values().toFloats();
    float[] direction = Oracle.gaussians(40, at.length, 1);
    double h = 5e-3;
    double slope =
        (objective(ours, x, parameters, at, direction, h)
                - objective(ours, x, parameters, at, direction, -h))
            / (2 * h);
    assertEquals(
        Oracle.dot(gradient, direction), slope, 5e-3 * Math.sqrt(Oracle.dot(gradient, gradient)));
  }

  private static double objective(
      Oracle.OnTape ours,
      Tensor x,
      ParameterSet parameters,
      float[] at,
      float[] direction,
      double h) {
    float[] moved = at.clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] += (float) (h * direction[i]);
    }
    parameters.values().floats().put(0, moved);
    float[] y = Oracle.onTape(ours, List.of(x), DType.FLOAT32, 99).output();
    parameters.values().floats().put(0, at);
    return Oracle.dot(y, Oracle.gaussians(99, y.length, 1));
  }

  @Test
  void anAdapterOfZerosChangesNothing() {
    ParameterSet parameters = parameters();
    for (String b : List.of("b0", "b2")) {
      parameters.get(b).value().zero();
    }
    LinearGroup group = group(parameters, 0);
    Tensor x = input(9, 5, 9);
    Pass pass = Pass.evaluating(0, 5);
    float[] with;
    float[] without;
    try (Tape tape = Tape.inference()) {
      Variable in = tape.constant(x.share());
      with = group.apply(tape, in, pass, FLOAT32, work).value().toFloats();
      group.members().forEach(member -> member.attach(null));
      without = group.apply(tape, in, pass, FLOAT32, work).value().toFloats();
    }
    Oracle.assertClose("output", without, with, 1e-6);
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

  private static RotaryTable rotary(int headDim) {
    float[] frequencies = new float[headDim / 2];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) Math.pow(100, -2.0 * i / headDim);
    }
    return new RotaryTable(frequencies, 1);
  }

  /** Attention of one sequence by the textbook, over repeated heads and a full mask. */
  private static NDArray attention(NDArray qkv, int heads, int kvHeads, int d, NDManager manager) {
    long t = qkv.getShape().get(0);
    NDArray q = rotated(qkv.get(":, :" + heads * d).reshape(t, heads, d), manager);
    int end = (heads + kvHeads) * d;
    NDArray k = rotated(qkv.get(":, " + heads * d + ":" + end).reshape(t, kvHeads, d), manager);
    NDArray v = qkv.get(":, " + end + ":").reshape(t, kvHeads, d);
    k = k.repeat(1, heads / kvHeads).transpose(1, 2, 0);
    v = v.repeat(1, heads / kvHeads).transpose(1, 0, 2);
    NDArray scores = q.transpose(1, 0, 2).matMul(k).mul(1 / Math.sqrt(d));
    float[] mask = new float[(int) (t * t)];
    for (int i = 0; i < t; i++) {
      for (int j = i + 1; j < t; j++) {
        mask[(int) (i * t + j)] = -1e9f;
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
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
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
    int heads = 4;
    int kvHeads = 2;
    int d = 8;
    // one sequence longer than a block, one of a single token
    int[] starts = {0, 150, 151, 164};
    Attention attention = new Attention(heads, kvHeads, rotary(d), 1 / Math.sqrt(d));
    List<Tensor> inputs = List.of(input(11, 164, (heads + 2L * kvHeads) * d));
    Oracle.OnTape ours = underTest.of(attention, Pass.evaluating(starts));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray all = null;
          for (int s = 0; s + 1 < starts.length; s++) {
            NDArray part = in.get(0).get(starts[s] + ":" + starts[s + 1]);
            NDArray one = attention(part, heads, kvHeads, d, manager);
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
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void crossEntropyAgreesWithTheEngine(DType dtype) {
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
    Precision precision = Precision.of(dtype);
    Oracle.OnTape ours =
        (tape, in) ->
            tape.apply(new LinearCrossEntropy(head, targets, 100, precision, work), in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray weight = NdArrays.toNdArray(scope.own(w.to(DType.FLOAT32)), manager);
          NDArray logs = in.get(0).matMul(weight.transpose()).logSoftmax(1);
          NDArray oneHot = manager.create(targets).oneHot(vocabulary);
          return logs.mul(oneHot).sum().neg().div(100).reshape(1);
        },
        inputs,
        dtype,
        tolerance(dtype));
    if (dtype == DType.FLOAT32) {
      Oracle.assertAgreesWithDifferences(ours, inputs);
    }
  }

  @Test
  void aCheckpointGivesTheSameBitsAsWithoutOne() {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, 0.3);
    Tensor x = input(15, 6, 9);
    Pass pass = new Pass(new int[] {0, 6}, true, 3);
    Oracle.Result plain =
        Oracle.onTape(
            (tape, in) -> group.apply(tape, in.get(0), pass, FLOAT32, work),
            List.of(x),
            DType.FLOAT32,
            1);
    float[] plainGrads = parameters.grads().toFloats();
    parameters.grads().zero();
    Oracle.Result again =
        Oracle.onTape(
            (tape, in) ->
                tape.apply(
                    new Checkpoint(
                        (inner, values, recall) ->
                            recall.unread(
                                e -> group.apply(inner, values[0], pass, FLOAT32, work, e))),
                    in.get(0)),
            List.of(x),
            DType.FLOAT32,
            1);
    assertArrayEquals(plain.output(), again.output());
    assertArrayEquals(plain.gradients().get(0), again.gradients().get(0));
    assertArrayEquals(plainGrads, parameters.grads().toFloats());
  }

  @Test
  void anEngineSegmentIsDifferentiatedInTheMiddleOfATape() {
    List<Tensor> inputs = List.of(input(16, 4, 6), input(17, 4, 6));
    RmsNorm norm = scope.own(new RmsNorm(Oracle.gaussian(18, 1, 6), 1e-6));
    Oracle.OnTape ours =
        (tape, in) -> {
          Variable product =
              tape.apply(
                  new EngineSegment(l -> new NDList(l.get(0).mul(l.get(1)).tanh())),
                  in.get(0),
                  in.get(1));
          return tape.apply(new Residual(), norm.apply(tape, product), in.get(1));
        };
    Oracle.assertAgreesWithDifferences(ours, inputs);
  }
}
