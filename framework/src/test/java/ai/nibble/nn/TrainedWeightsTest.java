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
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Gradients of the weights themselves, against the engine's autograd and central differences. */
class TrainedWeightsTest extends FunctionTestCase {
  private static final Precision FLOAT32 = Precision.of(DType.FLOAT32);

  private ParameterSet parameters(Map<String, long[]> shapes) {
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    parameters.values().floats().put(0, Oracle.gaussians(30, (int) parameters.numel(), 0.5));
    return parameters;
  }

  private static Map<String, long[]> shapes(Object... pairs) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (int i = 0; i < pairs.length; i += 2) {
      shapes.put((String) pairs[i], (long[]) pairs[i + 1]);
    }
    return shapes;
  }

  private static long[] size(long... shape) {
    return shape;
  }

  private Tensor rounded(Tensor values, DType dtype) {
    return scope.own(scope.own(values.to(dtype)).to(DType.FLOAT32));
  }

  /** Matrices are rounded to the compute dtype when they are used, vectors are not. */
  private void assertAgrees(
      ParameterSet parameters,
      Oracle.OnTape ours,
      Oracle.Expression theirs,
      List<Tensor> inputs,
      DType dtype) {
    Oracle.Result result = Oracle.onTape(ours, inputs, dtype, 99);
    try (NDManager manager = NdArrays.newManager()) {
      NDList leaves = new NDList();
      inputs.forEach(in -> leaves.add(NdArrays.toLeaf(rounded(in, dtype), manager)));
      for (Parameter p : parameters.parameters()) {
        Tensor used = p.value().dim() > 1 ? rounded(p.value(), dtype) : p.value();
        leaves.add(NdArrays.toLeaf(used, manager));
      }
      NDArray output = NdArrays.recording(() -> theirs.run(leaves, manager));
      Oracle.assertClose("output", output.toFloatArray(), result.output(), tolerance(dtype));
      Tensor grad = scope.own(Oracle.gaussian(99, 1, output.getShape().getShape()));
      List<Tensor> gradients = NdArrays.backward(output, grad, leaves);
      gradients.forEach(scope::own);
      for (int i = 0; i < inputs.size(); i++) {
        Oracle.assertClose(
            "dx", gradients.get(i).toFloats(), result.gradients().get(i), tolerance(dtype));
      }
      for (int i = 0; i < parameters.parameters().size(); i++) {
        Parameter p = parameters.parameters().get(i);
        float[] expected = gradients.get(inputs.size() + i).toFloats();
        Oracle.assertClose(p.name(), expected, p.grad().toFloats(), tolerance(dtype));
      }
    }
    if (dtype == DType.FLOAT32) {
      assertAgreesWithDifferences(parameters, ours, inputs);
      assertAddsToWhatIsThere(parameters, ours, inputs);
    }
  }

  /** Float32 differences of step h carry an error of about 1e-7/h + h². */
  private static void assertAgreesWithDifferences(
      ParameterSet parameters, Oracle.OnTape ours, List<Tensor> inputs) {
    float[] gradient = parameters.grads().toFloats();
    float[] at = parameters.values().toFloats();
    for (Parameter p : parameters.parameters()) {
      int begin = Math.toIntExact(parameters.offset(p.name()));
      int end = begin + Math.toIntExact(p.value().numel());
      float[] direction = new float[at.length];
      System.arraycopy(Oracle.gaussians(40, end - begin, 1), 0, direction, begin, end - begin);
      double h = 5e-3;
      double slope =
          (objective(parameters, ours, inputs, at, direction, h)
                  - objective(parameters, ours, inputs, at, direction, -h))
              / (2 * h);
      double norm = Math.sqrt(Oracle.dot(gradient, gradient));
      assertEquals(
          Oracle.dot(gradient, direction), slope, 5e-3 * Math.max(1, norm), p.name() + "'s slope");
    }
  }

  private static double objective(
      ParameterSet parameters,
      Oracle.OnTape ours,
      List<Tensor> inputs,
      float[] at,
      float[] direction,
      double h) {
    float[] moved = at.clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] += (float) (h * direction[i]);
    }
    parameters.values().floats().put(0, moved);
    try (Tape tape = Tape.inference()) {
      List<Variable> constants = inputs.stream().map(in -> tape.constant(in.share())).toList();
      float[] y = ours.run(tape, constants).value().toFloats();
      return Oracle.dot(y, Oracle.gaussians(99, y.length, 1));
    } finally {
      parameters.values().floats().put(0, at);
    }
  }

  private static void assertAddsToWhatIsThere(
      ParameterSet parameters, Oracle.OnTape ours, List<Tensor> inputs) {
    float[] once = parameters.grads().toFloats();
    Oracle.onTape(ours, inputs, DType.FLOAT32, 99);
    float[] twice = parameters.grads().toFloats();
    for (int i = 0; i < once.length; i++) {
      once[i] *= 2;
    }
    Oracle.assertClose("a second backward", once, twice, 1e-6);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void rmsNormsWeight(DType dtype) {
    // more rows than a range, an odd width
    ParameterSet parameters = parameters(shapes("w", size(37)));
    RmsNorm norm = scope.own(new RmsNorm(parameters.get("w"), 1e-5));
    assertAgrees(
        parameters,
        (tape, in) -> norm.apply(tape, in.get(0)),
        (in, manager) -> {
          NDArray x = in.get(0);
          NDArray meanSquare = x.mul(x).mean(new int[] {1}, true).add(1e-5);
          return x.div(meanSquare.sqrt()).mul(in.get(1));
        },
        List.of(input(2, 131, 37)),
        dtype);
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, EXACT", "BFLOAT16, EXACT", "FLOAT32, OFFSET", "BFLOAT16, OFFSET"})
  void normsWeightsOfEveryScale(DType dtype, NormScale scale) {
    ParameterSet parameters = parameters(shapes("w", size(37)));
    RmsNorm norm = scope.own(new RmsNorm(parameters.get("w"), 1e-5, scale));
    int offset = scale == NormScale.OFFSET ? 1 : 0;
    assertAgrees(
        parameters,
        (tape, in) -> norm.apply(tape, in.get(0)),
        (in, manager) -> {
          NDArray x = in.get(0);
          NDArray meanSquare = x.mul(x).mean(new int[] {1}, true).add(1e-5);
          return x.div(meanSquare.sqrt()).mul(in.get(1).add(offset));
        },
        List.of(input(2, 131, 37)),
        dtype);
  }

  @Test
  void weightsOfNormsOfWholeProjections() {
    ParameterSet parameters = parameters(shapes("q", size(30), "k", size(20)));
    HeadNorm norm =
        scope.own(
            new HeadNorm(
                new RmsNorm(parameters.get("q"), 1e-5, NormScale.EXACT),
                new RmsNorm(parameters.get("k"), 1e-5, NormScale.EXACT),
                1,
                1));
    assertAgrees(
        parameters,
        (tape, in) -> norm.apply(tape, in.get(0)),
        (in, manager) -> {
          NDArray q = headNorm(in.get(0).get(":, :30"), in.get(1), 30);
          NDArray k = headNorm(in.get(0).get(":, 30:50"), in.get(2), 20);
          return q.concat(k, 1).concat(in.get(0).get(":, 50:"), 1);
        },
        List.of(input(2, 131, 70)),
        DType.FLOAT32);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void headNormsWeights(DType dtype) {
    int d = 10;
    ParameterSet parameters = parameters(shapes("q", size(d), "k", size(d)));
    HeadNorm norm =
        scope.own(
            new HeadNorm(
                new RmsNorm(parameters.get("q"), 1e-5),
                new RmsNorm(parameters.get("k"), 1e-5),
                3,
                2));
    assertAgrees(
        parameters,
        (tape, in) -> norm.apply(tape, in.get(0)),
        (in, manager) -> {
          NDArray q = headNorm(in.get(0).get(":, :" + 3 * d), in.get(1), d);
          NDArray k = headNorm(in.get(0).get(":, " + 3 * d + ":" + 5 * d), in.get(2), d);
          return q.concat(k, 1).concat(in.get(0).get(":, " + 5 * d + ":"), 1);
        },
        List.of(input(2, 131, 7 * d)),
        dtype);
  }

  private static NDArray headNorm(NDArray heads, NDArray weight, int d) {
    NDArray rows = heads.reshape(heads.size() / d, d);
    NDArray meanSquare = rows.mul(rows).mean(new int[] {1}, true).add(1e-5);
    return rows.div(meanSquare.sqrt()).mul(weight).reshape(heads.getShape());
  }

  @Test
  void aTrainedNormFollowsItsParameter() {
    ParameterSet parameters = parameters(shapes("w", size(5)));
    RmsNorm norm = scope.own(new RmsNorm(parameters.get("w"), 1e-5));
    try (Tape tape = Tape.inference()) {
      Variable x = tape.constant(Oracle.gaussian(1, 1, 3, 5));
      float[] expected = norm.apply(tape, x).value().toFloats();
      for (int i = 0; i < expected.length; i++) {
        expected[i] *= -2;
      }
      float[] doubled = parameters.values().toFloats();
      for (int i = 0; i < doubled.length; i++) {
        doubled[i] *= -2;
      }
      parameters.values().floats().put(0, doubled);
      assertArrayEquals(expected, norm.apply(tape, x).value().toFloats());
    }
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, 1", "BFLOAT16, 1", "FLOAT16, 1", "FLOAT32, 8.25", "BFLOAT16, 8.25"})
  void embeddingOfRepeatedTokens(DType dtype, double scale) {
    ParameterSet parameters = parameters(shapes("table", size(131, 7)));
    int[] ids = new int[200];
    for (int i = 0; i < ids.length; i++) {
      // some tokens many times, some never, the first and the last of the vocabulary among them
      ids[i] = i % 3 == 0 ? 5 : i * i * 13 % 131;
    }
    ids[10] = 130;
    DenseWeight table = scope.own(new DenseWeight(parameters.get("table")));
    assertAgrees(
        parameters,
        (tape, in) -> tape.apply(new Embedding(table, ids, Precision.of(dtype), scale)),
        (in, manager) -> manager.create(ids).oneHot(131).matMul(in.get(0)).mul(scale),
        List.of(),
        dtype);
  }

  private LinearGroup group(ParameterSet parameters) {
    List<Linear> members =
        List.of(
            Linear.trained("m0", parameters.get("w0"), parameters.get("b0")),
            Linear.trained("m1", parameters.get("w1"), null),
            Linear.trained("m2", parameters.get("w2"), parameters.get("b2")));
    return scope.own(new LinearGroup(3, members));
  }

  private ParameterSet groupParameters() {
    return parameters(
        shapes("w0", size(6, 9), "b0", size(6), "w1", size(4, 9), "w2", size(5, 9), "b2", size(5)));
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void linearsWithAndWithoutBias(DType dtype) {
    ParameterSet parameters = groupParameters();
    LinearGroup group = group(parameters);
    Pass pass = Pass.evaluating(0, 71);
    assertAgrees(
        parameters,
        (tape, in) -> group.apply(tape, in.get(0), pass, Precision.of(dtype), work),
        (in, manager) -> {
          NDArray x = in.get(0);
          return x.matMul(in.get(1).transpose())
              .add(in.get(2))
              .concat(x.matMul(in.get(3).transpose()), 1)
              .concat(x.matMul(in.get(4).transpose()).add(in.get(5)), 1);
        },
        List.of(input(7, 71, 9)),
        dtype);
  }

  @Test
  void linearsWhoseInputTakesNoGradientLearnAllTheSame() {
    ParameterSet parameters = groupParameters();
    LinearGroup group = group(parameters);
    Pass pass = Pass.evaluating(0, 11);
    Tensor x = input(8, 11, 9);
    Oracle.onTape(
        (tape, in) -> group.apply(tape, in.get(0), pass, FLOAT32, work),
        List.of(x),
        DType.FLOAT32,
        99);
    float[] expected = parameters.grads().toFloats();
    parameters.grads().zero();
    try (Tape tape = Tape.recording()) {
      Variable y = group.apply(tape, tape.constant(x.share()), pass, FLOAT32, work);
      tape.backward(y, Oracle.gaussian(99, 1, 11, 15));
    }
    assertArrayEquals(expected, parameters.grads().toFloats());
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void aCheckpointGivesTheSameBitsAsWithoutOne(DType dtype) {
    ParameterSet parameters = groupParameters();
    LinearGroup group = group(parameters);
    Pass pass = Pass.evaluating(0, 71);
    Precision precision = Precision.of(dtype);
    Tensor x = input(9, 71, 9);
    Oracle.onTape(
        (tape, in) -> group.apply(tape, in.get(0), pass, precision, work), List.of(x), dtype, 1);
    float[] plain = parameters.grads().toFloats();
    parameters.grads().zero();
    Checkpoint.Part part = (inner, in, recall) -> group.apply(inner, in[0], pass, precision, work);
    Oracle.onTape((tape, in) -> tape.apply(new Checkpoint(part), in.get(0)), List.of(x), dtype, 1);
    assertArrayEquals(plain, parameters.grads().toFloats());
  }

  private static int[] targets(int rows, int vocabulary) {
    int[] targets = new int[rows];
    for (int i = 0; i < rows; i++) {
      targets[i] = (i * 7 + i / 13) % vocabulary;
    }
    return targets;
  }

  private static NDArray crossEntropy(NDArray x, NDArray head, int[] targets, NDManager manager) {
    NDArray logs = x.matMul(head.transpose()).logSoftmax(1);
    NDArray oneHot = manager.create(targets).oneHot((int) head.getShape().get(0));
    return logs.mul(oneHot).sum().neg().div(100).reshape(1);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void anUntiedHead(DType dtype) {
    // more rows than a chunk
    int[] targets = targets(530, 21);
    ParameterSet parameters = parameters(shapes("head", size(21, 6)));
    DenseWeight head = scope.own(new DenseWeight(parameters.get("head")));
    assertAgrees(
        parameters,
        (tape, in) ->
            tape.apply(
                new LinearCrossEntropy(head, targets, 100, Precision.of(dtype), work), in.get(0)),
        (in, manager) -> crossEntropy(in.get(0), in.get(1), targets, manager),
        List.of(input(14, 530, 6)),
        dtype);
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, 530", "BFLOAT16, 530", "FLOAT32, 3"})
  void aTiedHeadTakesBothParts(DType dtype, int rows) {
    int[] targets = targets(rows, 21);
    int[] ids = targets(rows + 5, 21);
    int[] inputs = Arrays.copyOf(ids, rows);
    ParameterSet parameters = parameters(shapes("table", size(21, 6), "w", size(6)));
    DenseWeight table = scope.own(new DenseWeight(parameters.get("table")));
    RmsNorm norm = scope.own(new RmsNorm(parameters.get("w"), 1e-5));
    Precision precision = Precision.of(dtype);
    assertAgrees(
        parameters,
        (tape, in) ->
            tape.apply(
                new LinearCrossEntropy(table, targets, 100, precision, work),
                norm.apply(tape, tape.apply(new Embedding(table, inputs, precision)))),
        (in, manager) -> {
          NDArray x = manager.create(inputs).oneHot(21).matMul(in.get(0));
          NDArray meanSquare = x.mul(x).mean(new int[] {1}, true).add(1e-5);
          NDArray normed = x.div(meanSquare.sqrt()).mul(in.get(1));
          return crossEntropy(normed, in.get(0), targets, manager);
        },
        List.of(),
        dtype);
  }

  @Test
  void aFrozenLayerSavesNothingForWeightGradients() {
    DenseWeight frozen = new DenseWeight(Oracle.gaussian(10, 0.3, 6, 9));
    LinearGroup group = scope.own(new LinearGroup(0, List.of(new Linear("m", frozen, null))));
    Pass pass = Pass.evaluating(0, 4);
    try (Tape tape = Tape.recording()) {
      Variable x = tape.leaf(Oracle.gaussian(1, 1, 4, 9));
      group.apply(tape, x, pass, FLOAT32, work).close();
      long live = Tensor.live();
      group.apply(tape, x, pass, FLOAT32, work).close();
      assertEquals(live, Tensor.live());
    }
    assertTrue(frozen.parameter().isEmpty());
  }
}
