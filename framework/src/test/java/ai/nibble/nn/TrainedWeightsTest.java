package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.nibble.autograd.Checkpoint;
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

/** Gradients of the weights themselves, against the engine's autograd and central differences. */
class TrainedWeightsTest extends TrainedParametersTestCase {
  private static final Precision FLOAT32 = Precision.of(DType.FLOAT32);

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
  @CsvSource({
    "FLOAT32, EXACT",
    "BFLOAT16, EXACT",
    "FLOAT32, OFFSET",
    "BFLOAT16, OFFSET",
    "FLOAT16, OFFSET"
  })
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
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void embeddingOfRepeatedTokens(DType dtype) {
    assertIsEmbedding(dtype, 1);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void embeddingThatIsScaled(DType dtype) {
    assertIsEmbedding(dtype, 8.25);
  }

  private void assertIsEmbedding(DType dtype, double scale) {
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
        (tape, in) -> tape.apply(new Embedding(table, ids, precision(dtype), scale)),
        (in, manager) ->
            manager
                .create(ids)
                .oneHot(131)
                .matMul(in.get(0))
                .mul(NdArrays.scalar(in.get(0), scale)),
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
        (tape, in) -> group.apply(tape, in.get(0), pass, precision(dtype), work),
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
    Precision precision = precision(dtype);
    Tensor x = input(9, 71, 9);
    Oracle.onTape(
        (tape, in) -> group.apply(tape, in.get(0), pass, precision, work), List.of(x), dtype, 1);
    float[] plain = parameters.grads().toFloats();
    parameters.grads().zero();
    Checkpoint.Part part = (inner, in, recall) -> group.apply(inner, in[0], pass, precision, work);
    Oracle.onTape((tape, in) -> tape.apply(new Checkpoint(part), in.get(0)), List.of(x), dtype, 1);
    assertArrayEquals(plain, parameters.grads().toFloats());
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
                new LinearCrossEntropy(head, targets, 100, precision(dtype), work), in.get(0)),
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
    Precision precision = precision(dtype);
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
