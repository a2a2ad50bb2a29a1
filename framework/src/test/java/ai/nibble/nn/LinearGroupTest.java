package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.nibble.autograd.Checkpoint;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quantizer4Bit;
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
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Linears with adapters as one product: forward and every gradient, dense and in 4 bits. */
class LinearGroupTest extends FunctionTestCase {
  private static final Precision FLOAT32 = Precision.of(DType.FLOAT32);
  private static final int ROWS = 11;

  /** Blocks of 64 begin and end inside rows, and rows at odd elements. */
  static final int IN = 29;

  /** How a member's weight is held. */
  enum Held {
    DENSE,
    NF4,
    FP4_DOUBLE;

    /** Takes the tensor over. */
    Weight weight(Tensor values) {
      if (this == DENSE) {
        return new DenseWeight(values);
      }
      Quant4Type type = this == NF4 ? Quant4Type.NF4 : Quant4Type.FP4;
      try (values) {
        Quant4Config config = new Quant4Config(type, 64, this == FP4_DOUBLE);
        return new Quant4Weight(Quantizer4Bit.quantize("w", values, config));
      }
    }
  }

  /** A group of three linears: adapters of rank 2 and 3 on the outer two, a bias on the first. */
  LinearGroup group(ParameterSet parameters, double dropout) {
    return group(parameters, dropout, Held.DENSE);
  }

  private LinearGroup group(ParameterSet parameters, double dropout, Held held) {
    int[] outs = {6, 4, 5};
    List<Linear> members = new ArrayList<>();
    for (int m = 0; m < outs.length; m++) {
      Tensor bias = m == 0 ? Oracle.gaussian(20, 1, outs[m]) : null;
      Linear linear =
          new Linear("m" + m, held.weight(Oracle.gaussian(10 + m, 0.3, outs[m], IN)), bias);
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
    shapes.put("a0", new long[] {2, IN});
    shapes.put("b0", new long[] {6, 2});
    shapes.put("a2", new long[] {3, IN});
    shapes.put("b2", new long[] {5, 3});
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    parameters.values().floats().put(0, Oracle.gaussians(30, (int) parameters.numel(), 0.5));
    return parameters;
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, DENSE, 0",
    "FLOAT32, DENSE, 0.3",
    "BFLOAT16, DENSE, 0",
    "BFLOAT16, DENSE, 0.3",
    "FLOAT32, NF4, 0",
    "FLOAT32, NF4, 0.3",
    "BFLOAT16, NF4, 0",
    "BFLOAT16, NF4, 0.3",
    "FLOAT32, FP4_DOUBLE, 0.3",
    "BFLOAT16, FP4_DOUBLE, 0.3",
    "FLOAT16, DENSE, 0.3",
    "FLOAT16, NF4, 0.3"
  })
  void agreesWithTheEngineInInputsAndParameters(DType dtype, Held held, double dropout) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, dropout, held);
    Pass pass = new Pass(new int[] {0, ROWS}, true, 77);
    Precision precision = precision(dtype);
    Tensor x = input(7, ROWS, IN);
    Oracle.Result ours =
        Oracle.onTape(
            (tape, in) -> group.apply(tape, in.get(0), pass, precision, work),
            List.of(x),
            dtype,
            99);
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

  /** What dropout multiplies by, {@code [ROWS, IN]}: rows begin at multiples of 4 elements. */
  private static Tensor mask(LinearGroup group, Pass pass, double dropout) {
    float[] all = new float[ROWS * IN];
    int stride = (IN + 3) / 4 * 4;
    for (int r = 0; r < ROWS; r++) {
      float[] row = new float[IN];
      Arrays.fill(row, 1);
      if (dropout > 0) {
        Dropout.apply(row, IN, r * stride, group.dropoutKey(pass), dropout);
      }
      System.arraycopy(row, 0, all, r * IN, IN);
    }
    return Tensor.of(all, ROWS, IN);
  }

  /** {@code x·Wᵀ + b + s·(x∘mask)·Aᵀ·Bᵀ} of each member, over what its weight dequantises to. */
  private NDArray expression(LinearGroup group, NDList in, NDArray mask, NDManager manager) {
    NDArray[] y = new NDArray[3];
    for (int m = 0; m < 3; m++) {
      Tensor weight = scope.own(dequantized(group.members().get(m).weight()));
      y[m] = in.get(0).matMul(NdArrays.toNdArray(weight, manager).transpose());
    }
    NDArray dropped = in.get(0).mul(mask);
    NDArray bias = NdArrays.toNdArray(group.members().get(0).bias(), manager);
    NDArray first = y[0].add(bias).add(lowRank(dropped, in, 1, 1.5));
    return first.concat(y[1], 1).concat(y[2].add(lowRank(dropped, in, 3, 3.5)), 1);
  }

  private static NDArray lowRank(NDArray dropped, NDList in, int a, double scaling) {
    NDArray h = dropped.matMul(in.get(a).transpose());
    return h.matMul(in.get(a + 1).transpose()).mul(NdArrays.scalar(h, scaling));
  }

  private static Tensor dequantized(Weight weight) {
    if (weight instanceof DenseWeight dense) {
      return dense.tensor().share();
    }
    Tensor plain = Tensor.empty(DType.FLOAT32, weight.outFeatures(), weight.inFeatures());
    ((Quant4Weight) weight).quantized().dequantize(plain);
    return plain;
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 0.3})
  void agreesWithDifferencesAlsoUnderDropout(double dropout) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, dropout);
    Tensor x = input(8, 11, IN);
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
    Tensor x = input(9, 5, IN);
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
  void aCheckpointGivesTheSameBitsAsWithoutOne() {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, 0.3);
    Tensor x = input(15, 6, IN);
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
}
