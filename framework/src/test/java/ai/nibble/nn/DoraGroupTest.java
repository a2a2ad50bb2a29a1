package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.nibble.autograd.Checkpoint;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.quant.PackedProduct;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Linears whose rows have magnitudes: forward, every gradient, and what generation reads. */
class DoraGroupTest extends FunctionTestCase {
  private static final Precision FLOAT32 = Precision.of(DType.FLOAT32);
  private static final int ROWS = 11;
  private static final int IN = 96;
  private static final int[] OUTS = {6, 4, 5};
  private static final double[] SCALINGS = {1.5, 0, 3.5};

  /** Adapters of rank 2 and 3 on the outer two, magnitudes with them. */
  private ParameterSet parameters() {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (int m : new int[] {0, 2}) {
      int r = 2 + m / 2;
      shapes.put("a" + m, new long[] {r, IN});
      shapes.put("b" + m, new long[] {OUTS[m], r});
      shapes.put("m" + m, new long[] {OUTS[m]});
    }
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    parameters.values().floats().put(0, Oracle.gaussians(30, (int) parameters.numel(), 0.2));
    for (int m : new int[] {0, 2}) {
      float[] magnitudes = Oracle.gaussians(40 + m, OUTS[m], 0.3);
      for (int o = 0; o < magnitudes.length; o++) {
        magnitudes[o] = 2.5f + magnitudes[o];
      }
      parameters.get("m" + m).value().floats().put(0, magnitudes);
    }
    return parameters;
  }

  private LinearGroup group(
      ParameterSet parameters, double dropout, LinearGroupTest.Held held, boolean bias) {
    List<Linear> members = new ArrayList<>();
    for (int m = 0; m < OUTS.length; m++) {
      Tensor b = bias && m == 0 ? Oracle.gaussian(20, 1, OUTS[m]) : null;
      Tensor weight = Oracle.gaussian(10 + m, 0.3, OUTS[m], IN);
      Linear linear = new Linear("m" + m, held.weight(weight), b);
      if (m != 1) {
        linear.attach(
            new LowRank(
                parameters.get("a" + m),
                parameters.get("b" + m),
                SCALINGS[m],
                dropout,
                Optional.of(parameters.get("m" + m)),
                Optional.empty()));
      }
      members.add(linear);
    }
    return scope.own(new LinearGroup(3, members));
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, DENSE, 0, false", "FLOAT32, DENSE, 0, true", "FLOAT32, DENSE, 0.3, false",
    "FLOAT32, NF4, 0, false", "FLOAT32, NF4, 0.3, true", "BFLOAT16, DENSE, 0, false",
    "BFLOAT16, NF4, 0, true", "BFLOAT16, FP4_DOUBLE, 0.3, false"
  })
  void agreesWithTheEngineInInputsAndParameters(
      DType dtype, LinearGroupTest.Held held, double dropout, boolean bias) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, dropout, held, bias);
    Pass pass = new Pass(new int[] {0, ROWS}, true, 77);
    Tensor x = input(7, ROWS, IN);
    Oracle.Result ours = onTape(group, pass, x, Precision.of(dtype));
    try (NDManager manager = NdArrays.newManager()) {
      NDList in = new NDList(NdArrays.toLeaf(x, manager));
      parameters.parameters().forEach(p -> in.add(NdArrays.toLeaf(p.value(), manager)));
      NDArray mask = NdArrays.toNdArray(scope.own(mask(group, pass, dropout)), manager);
      NDArray y = NdArrays.recording(() -> expression(group, in, mask, manager));
      Oracle.assertClose("output", y.toFloatArray(), ours.output(), tolerance(dtype));
      Tensor grad = scope.own(Oracle.gaussian(99, 1, ROWS, 15));
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

  private Oracle.Result onTape(LinearGroup group, Pass pass, Tensor x, Precision precision) {
    return Oracle.onTape(
        (tape, in) -> group.apply(tape, in.get(0), pass, precision, work),
        List.of(x),
        precision.compute(),
        99);
  }

  private static Tensor mask(LinearGroup group, Pass pass, double dropout) {
    float[] all = new float[ROWS * IN];
    for (int r = 0; r < ROWS; r++) {
      float[] row = new float[IN];
      Arrays.fill(row, 1);
      if (dropout > 0) {
        Dropout.apply(row, IN, r * IN, group.dropoutKey(pass), dropout);
      }
      System.arraycopy(row, 0, all, r * IN, IN);
    }
    return Tensor.of(all, ROWS, IN);
  }

  /** As PEFT writes it: base(x) + (m/n − 1)·d(x)Wᵀ + m/n·s·d(x)AᵀBᵀ, the norm n a constant. */
  private NDArray expression(LinearGroup group, NDList in, NDArray mask, NDManager manager) {
    NDArray[] y = new NDArray[3];
    NDArray dropped = in.get(0).mul(mask);
    for (int m = 0; m < 3; m++) {
      Linear member = group.members().get(m);
      float[] weight = dequantized(member.weight());
      NDArray w = manager.create(weight).reshape(OUTS[m], IN);
      y[m] = in.get(0).matMul(w.transpose());
      if (m != 1) {
        int at = m == 0 ? 1 : 4;
        NDArray norm = manager.create(norms(member, weight));
        NDArray gain = in.get(at + 2).div(norm).reshape(1, OUTS[m]);
        NDArray low = dropped.matMul(in.get(at).transpose()).matMul(in.get(at + 1).transpose());
        y[m] =
            y[m].add(gain.sub(1).mul(dropped.matMul(w.transpose())))
                .add(gain.mul(low).mul(NdArrays.scalar(low, SCALINGS[m])));
      }
      if (member.bias() != null) {
        y[m] = y[m].add(NdArrays.toNdArray(member.bias(), manager));
      }
    }
    return y[0].concat(y[1], 1).concat(y[2], 1);
  }

  private static float[] dequantized(Weight weight) {
    try (Tensor plain = Tensor.empty(DType.FLOAT32, weight.outFeatures(), weight.inFeatures())) {
      weight.writeTo(plain, 0, FLOAT32);
      return plain.toFloats();
    }
  }

  /** Norms of the rows of W + s·B·A, summed up one by one in double. */
  private static float[] norms(Linear member, float[] weight) {
    LowRank adapter = member.adapter().orElseThrow();
    float[] a = adapter.a().value().toFloats();
    float[] b = adapter.b().value().toFloats();
    int r = adapter.rank();
    float[] norms = new float[b.length / r];
    for (int o = 0; o < norms.length; o++) {
      double squares = 0;
      for (int i = 0; i < IN; i++) {
        double v = weight[o * IN + i];
        for (int k = 0; k < r; k++) {
          v += adapter.scaling() * b[o * r + k] * a[k * IN + i];
        }
        squares += v * v;
      }
      norms[o] = (float) Math.sqrt(squares);
    }
    return norms;
  }

  /** Sums in float32 of 96 and 3 products: a few roundings of 2⁻²⁴. */
  @Test
  void normsWithoutTheSumAreThoseOfTheSum() {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, 0, LinearGroupTest.Held.NF4, false);
    try (DoraGains gains = group.gains(FLOAT32)) {
      float[] all = gains.norms().toFloats();
      for (int m : new int[] {0, 2}) {
        Linear member = group.members().get(m);
        float[] expected = norms(member, dequantized(member.weight()));
        int at = m == 0 ? 0 : OUTS[0] + OUTS[1];
        float[] own = Arrays.copyOfRange(all, at, at + expected.length);
        Oracle.assertClose("norms", expected, own, 1e-6);
      }
      float[] factors = gains.gains().toFloats();
      assertEquals(1, factors[OUTS[0]]);
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 0.3})
  void slopesByInputsAndMagnitudesAreTheGradients(double dropout) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, dropout, LinearGroupTest.Held.DENSE, false);
    Pass pass = new Pass(new int[] {0, ROWS}, true, 77);
    Tensor x = input(8, ROWS, IN);
    Oracle.assertAgreesWithDifferences(
        (tape, in) -> group.apply(tape, in.get(0), pass, FLOAT32, work), List.of(x));
    parameters.grads().zero();
    onTape(group, pass, x, FLOAT32);
    // outputs are linear in a magnitude: the slope is exact but for rounding
    Parameter magnitude = parameters.get("m2");
    float[] gradient = magnitude.grad().toFloats();
    float[] at = magnitude.value().toFloats();
    float[] direction = Oracle.gaussians(41, at.length, 1);
    double h = 0.5;
    double slope =
        (objective(group, pass, x, magnitude, at, direction, h)
                - objective(group, pass, x, magnitude, at, direction, -h))
            / (2 * h);
    assertEquals(Oracle.dot(gradient, direction), slope, 1e-3);
  }

  private double objective(
      LinearGroup group,
      Pass pass,
      Tensor x,
      Parameter magnitude,
      float[] at,
      float[] direction,
      double h) {
    float[] moved = at.clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] += (float) (h * direction[i]);
    }
    magnitude.value().floats().put(0, moved);
    float[] y = onTape(group, pass, x, FLOAT32).output();
    magnitude.value().floats().put(0, at);
    return Oracle.dot(y, Oracle.gaussians(99, y.length, 1));
  }

  /** B is zero and each magnitude its row's norm: bit for bit what the base computes. */
  @ParameterizedTest
  @ValueSource(strings = {"FLOAT32", "BFLOAT16"})
  void newMagnitudesChangeNothing(DType dtype) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, 0, LinearGroupTest.Held.NF4, true);
    Precision precision = Precision.of(dtype);
    for (int m : new int[] {0, 2}) {
      parameters.get("b" + m).value().zero();
      try (Tensor norms = group.members().get(m).rowNorms(precision)) {
        parameters.get("m" + m).value().copyFrom(norms);
      }
    }
    try (DoraGains gains = group.gains(precision)) {
      for (float gain : gains.gains().toFloats()) {
        assertEquals(1, gain);
      }
    }
    Tensor x = input(9, 5, IN);
    Pass pass = Pass.evaluating(0, 5);
    float[] with = evaluated(group, pass, x, precision);
    group.members().forEach(member -> member.attach(null));
    float[] without = evaluated(group, pass, x, precision);
    Oracle.assertClose("output", without, with, tolerance(dtype));
  }

  private float[] evaluated(LinearGroup group, Pass pass, Tensor x, Precision precision) {
    try (Tape tape = Tape.inference()) {
      Variable in = tape.constant(x.to(precision.compute()));
      return group.apply(tape, in, pass, precision, work).value().toFloats();
    }
  }

  /** A magnitude of zero leaves nothing of its output to learn from, so more is kept. */
  @Test
  void aMagnitudeOfZeroLearns() {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, 0, LinearGroupTest.Held.DENSE, false);
    Pass pass = new Pass(new int[] {0, ROWS}, true, 77);
    Tensor x = input(12, ROWS, IN);
    onTape(group, pass, x, FLOAT32);
    float[] expected = parameters.get("m0").grad().toFloats();
    parameters.grads().zero();
    parameters.get("m0").value().floats().put(3, 0);
    onTape(group, pass, x, FLOAT32);
    Oracle.assertClose("dm", expected, parameters.get("m0").grad().toFloats(), 1e-5);
  }

  @ParameterizedTest
  @CsvSource({"0, false", "0.3, false", "0, true"})
  void aCheckpointGivesTheSameBitsAsWithoutOne(double dropout, boolean bias) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, dropout, LinearGroupTest.Held.NF4, bias);
    Pass pass = new Pass(new int[] {0, ROWS}, true, 3);
    Tensor x = input(15, ROWS, IN);
    Oracle.Result plain = onTape(group, pass, x, FLOAT32);
    float[] plainGrads = parameters.grads().toFloats();
    for (boolean keeps : new boolean[] {false, true}) {
      parameters.grads().zero();
      Oracle.Result again =
          Oracle.onTape(
              (tape, in) ->
                  tape.apply(
                      new Checkpoint(
                          (inner, values, recall) ->
                              keeps
                                  ? recall.kept(
                                      e -> group.apply(inner, values[0], pass, FLOAT32, work, e))
                                  : recall.unread(
                                      e -> group.apply(inner, values[0], pass, FLOAT32, work, e))),
                      in.get(0)),
              List.of(x),
              DType.FLOAT32,
              99);
      assertArrayEquals(plain.output(), again.output());
      assertArrayEquals(plain.gradients().get(0), again.gradients().get(0));
      assertArrayEquals(plainGrads, parameters.grads().toFloats());
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"FLOAT32", "BFLOAT16"})
  void keptAndPackedWeightsGiveTheSameOutputs(DType dtype) {
    Precision precision = Precision.of(dtype);
    LinearGroup group = group(parameters(), 0, LinearGroupTest.Held.NF4, true);
    Tensor x = input(16, 4, IN);
    Pass pass = Pass.evaluating(0, 4);
    float[] expected = evaluated(group, pass, x, precision);
    group.keepWeights(precision);
    assertArrayEquals(expected, evaluated(group, pass, x, precision));
    group.dropWeights();
    if (PackedProduct.isAvailable()) {
      assertTrue(group.canReadPacked(precision));
      group.readPacked(precision);
      Oracle.assertClose(
          "packed", expected, evaluated(group, pass, x, precision), tolerance(dtype));
      group.dropPacked();
    }
  }
}
