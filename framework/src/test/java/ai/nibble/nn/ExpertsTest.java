package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.EngineSegment;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Tokens through the experts that a router chooses, against every expert for every token. */
class ExpertsTest extends FunctionTestCase {
  private static final int TOKENS = 41;
  private static final int HIDDEN = 6;
  private static final int EXPERTS = 5;

  /** An expert multiplies by a vector of its own, which the engine says as well. */
  private Tensor scales() {
    return scope.own(Oracle.gaussian(7, 1, EXPERTS, HIDDEN));
  }

  private Oracle.OnTape ours(Tensor scales, int perToken, boolean sumToOne) {
    return (tape, in) ->
        Experts.apply(
            tape,
            in.get(0),
            in.get(1),
            new Router(perToken, sumToOne, false),
            (index, x) -> scaled(tape, x, scales, index),
            step -> step.take(Earlier.NONE));
  }

  private static Variable scaled(Tape tape, Variable x, Tensor scales, int index) {
    return tape.apply(
        new EngineSegment(
            list -> {
              NDManager manager = list.get(0).getManager();
              NDArray all = NdArrays.toNdArray(scales, manager);
              return new NDList(list.get(0).mul(all.get(index)));
            }),
        x);
  }

  @ParameterizedTest
  @CsvSource({"2, true", "2, false", "1, false", "5, true", "5, false"})
  void chosenExpertsAndTheirWeightsAgreeWithTheEngine(int perToken, boolean sumToOne) {
    Tensor scales = scales();
    List<Tensor> inputs = List.of(input(1, TOKENS, HIDDEN), input(2, TOKENS, EXPERTS));
    Oracle.assertAgreesWithEngine(
        ours(scales, perToken, sumToOne),
        (in, manager) -> {
          NDArray p = in.get(1).softmax(1);
          NDArray chosen =
              p.mul(manager.create(mask(inputs.get(1), perToken)).reshape(p.getShape()));
          NDArray w = sumToOne ? chosen.div(chosen.sum(new int[] {1}, true)) : chosen;
          NDArray all = NdArrays.toNdArray(scales, manager);
          return w.matMul(all).mul(in.get(0));
        },
        inputs,
        DType.FLOAT32,
        tolerance(DType.FLOAT32));
  }

  /** The choice is constant where logits lie apart by more than the differences' step. */
  @Test
  void slopesAgreeWithDifferences() {
    Tensor scales = scales();
    float[] logits = Oracle.gaussians(3, TOKENS * EXPERTS, 0.1);
    for (int i = 0; i < logits.length; i++) {
      logits[i] += i % EXPERTS * 0.5f;
    }
    List<Tensor> inputs =
        List.of(input(1, TOKENS, HIDDEN), scope.own(Tensor.of(logits, TOKENS, EXPERTS)));
    Oracle.assertAgreesWithDifferences(ours(scales, 2, true), inputs);
    Oracle.assertAgreesWithDifferences(ours(scales, 2, false), inputs);
  }

  /** 1 for each token's highest logits. */
  private static float[] mask(Tensor logits, int perToken) {
    float[] values = logits.toFloats();
    float[] mask = new float[values.length];
    for (int t = 0; t < TOKENS; t++) {
      for (int e = 0; e < EXPERTS; e++) {
        int higher = 0;
        for (int other = 0; other < EXPERTS; other++) {
          higher += values[t * EXPERTS + other] > values[t * EXPERTS + e] ? 1 : 0;
        }
        mask[t * EXPERTS + e] = higher < perToken ? 1 : 0;
      }
    }
    return mask;
  }

  @Test
  void onlyChosenExpertsAreComputedAndOnlyForTheirTokens() {
    float[] logits = {9, 0, 8, 0, 0, /* */ 9, 0, 8, 0, 0, /* */ 0, 0, 8, 0, 9};
    List<Integer> seen = new ArrayList<>();
    try (Tape tape = Tape.recording()) {
      Variable x = tape.leaf(Oracle.gaussian(1, 1, 3, HIDDEN));
      Variable out =
          Experts.apply(
              tape,
              x,
              tape.leaf(Tensor.of(logits, 3, EXPERTS)),
              new Router(2, true, false),
              (index, tokens) -> {
                seen.add(index * 10 + (int) tokens.value().size(0));
                return tape.apply(new Residual(), tokens, tokens);
              },
              step -> step.take(Earlier.NONE));
      assertEquals(List.of(2, 23, 41), seen);
      // weights add up to 1, so that twice each token comes out
      float[] expected = x.value().toFloats();
      for (int i = 0; i < expected.length; i++) {
        expected[i] *= 2;
      }
      assertArrayEquals(expected, out.value().toFloats(), 1e-6f);
    }
  }

  @Test
  void ofEqualProbabilitiesTheFirstIsChosen() {
    try (Tensor even = Tensor.of(new float[] {0.2f, 0.2f, 0.2f, 0.2f, 0.2f}, 1, EXPERTS)) {
      assertArrayEquals(new int[] {0, 1, 2}, Routing.of(even, 3).experts());
    }
  }
}
