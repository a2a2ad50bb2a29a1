package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class LinearLogProbsTest extends FunctionTestCase {
  /** More than a chunk's. */
  private static final int ROWS = 530;

  private static final int VOCABULARY = 21;

  private static int[] targets() {
    int[] targets = new int[ROWS];
    for (int i = 0; i < ROWS; i++) {
      targets[i] = (i * 7 + i / 13) % VOCABULARY;
    }
    return targets;
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void everyRowsGradientIsItsOwnTimesWhatFlowsBackToIt(DType dtype) {
    int[] targets = targets();
    Tensor w = scope.own(scope.own(Oracle.gaussian(13, 0.5, VOCABULARY, 6)).to(dtype));
    DenseWeight head = new DenseWeight(w);
    List<Tensor> inputs = List.of(input(14, ROWS, 6));
    Precision precision = precision(dtype);
    Oracle.OnTape ours =
        (tape, in) -> tape.apply(new LinearLogProbs(head, targets, precision, work), in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray weight = NdArrays.toNdArray(scope.own(w.to(DType.FLOAT32)), manager);
          NDArray logs = in.get(0).matMul(weight.transpose()).logSoftmax(1);
          return logs.mul(manager.create(targets).oneHot(VOCABULARY)).sum(new int[] {1});
        },
        inputs,
        dtype,
        tolerance(dtype));
    if (dtype == DType.FLOAT32) {
      Oracle.assertAgreesWithDifferences(ours, inputs);
    }
  }

  /** Two ways to one number: the rows' sum, and the sum's own function. */
  @Test
  void theirSumIsTheCrossEntropyAndSoAreItsGradients() {
    int[] targets = targets();
    try (ParameterSet set = new ParameterSet(Map.of("head", new long[] {VOCABULARY, 6}))) {
      Parameter trained = set.get("head");
      trained.value().setFloats(java.nio.FloatBuffer.wrap(gaussian(15, VOCABULARY * 6)));
      DenseWeight head = scope.own(new DenseWeight(trained));
      float[] flowing = gaussian(16, ROWS);
      java.util.Arrays.fill(flowing, -1f / 100);
      Tensor x = input(14, ROWS, 6);
      Result byRow = run(set, x, new LinearLogProbs(head, targets, fp32(), work), flowing);
      Result sum =
          run(set, x, new LinearCrossEntropy(head, targets, 100, fp32(), work), new float[] {1});
      double logProbs = 0;
      for (float value : byRow.output) {
        logProbs += value;
      }
      assertEquals(sum.output[0], -logProbs / 100, 1e-6 * sum.output[0]);
      assertArrayEquals(sum.hidden, byRow.hidden, 1e-6f);
      assertArrayEquals(sum.head, byRow.head, 1e-5f);
    }
  }

  /** The trained head's gradient weighs the rows: a row that nothing flows back to adds nothing. */
  @Test
  void aTrainedHeadLearnsFromTheRowsThatCount() {
    int[] targets = targets();
    try (ParameterSet set = new ParameterSet(Map.of("head", new long[] {VOCABULARY, 6}))) {
      set.get("head").value().setFloats(java.nio.FloatBuffer.wrap(gaussian(15, VOCABULARY * 6)));
      DenseWeight head = scope.own(new DenseWeight(set.get("head")));
      float[] flowing = new float[ROWS];
      flowing[3] = 2;
      flowing[520] = -0.5f;
      Tensor x = input(14, ROWS, 6);
      Result all = run(set, x, new LinearLogProbs(head, targets, fp32(), work), flowing);
      Tensor two = scope.own(Tensor.empty(DType.FLOAT32, 2, 6));
      try (Scope rows = new Scope()) {
        rows.own(two.narrow(0, 0, 1)).copyFrom(rows.own(x.narrow(0, 3, 1)));
        rows.own(two.narrow(0, 1, 1)).copyFrom(rows.own(x.narrow(0, 520, 1)));
      }
      int[] own = {targets[3], targets[520]};
      Result alone =
          run(set, two, new LinearLogProbs(head, own, fp32(), work), new float[] {2, -0.5f});
      assertArrayEquals(alone.head, all.head, 1e-6f);
    }
  }

  private record Result(float[] output, float[] hidden, float[] head) {}

  private static Precision fp32() {
    return Precision.of(DType.FLOAT32);
  }

  private float[] gaussian(long seed, int n) {
    return scope.own(Oracle.gaussian(seed, 0.5, n)).toFloats();
  }

  private static Result run(
      ParameterSet set, Tensor x, ai.nibble.autograd.Function function, float[] flowing) {
    set.grads().zero();
    try (Tape tape = Tape.recording()) {
      Variable in = tape.leaf(x.share());
      Variable out = tape.apply(function, in);
      float[] output = out.value().toFloats();
      tape.backward(out, Tensor.of(flowing, flowing.length));
      try (Tensor gradient = tape.takeGradient(in)) {
        return new Result(output, gradient.toFloats(), set.grads().toFloats());
      }
    }
  }
}
