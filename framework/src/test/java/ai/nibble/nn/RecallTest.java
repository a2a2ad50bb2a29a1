package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Checkpoint;
import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Recall;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What a checkpoint's part keeps is not computed again. The input is changed between the two runs:
 * an output that is computed again shows it, one that was kept does not.
 */
class RecallTest {
  private static final Precision FLOAT32 = Precision.of(DType.FLOAT32);
  private static final int ROWS = 5;

  private final Workspace work = new Workspace();
  private long live;

  @BeforeEach
  void count() {
    live = Tensor.live();
  }

  @AfterEach
  void nothingIsLeft() {
    work.close();
    assertEquals(live, Tensor.live());
  }

  private interface Taken {
    Variable take(Tape tape, Variable x, Earlier earlier);
  }

  /** The output of both runs. */
  private static List<float[]> outputs(int width, boolean kept, Taken step) {
    List<float[]> seen = new ArrayList<>();
    Checkpoint.Part part =
        (tape, inputs, recall) -> {
          Recall.Step one = earlier -> step.take(tape, inputs[0], earlier);
          Variable y = kept ? recall.kept(one) : one.take(Earlier.NONE);
          seen.add(y.value().toFloats());
          return y;
        };
    try (Tape tape = Tape.recording()) {
      Tensor values = Tensor.of(Oracle.gaussians(1, ROWS * width, 1), ROWS, width);
      Variable x = tape.leaf(values);
      Variable y = tape.apply(new Checkpoint(part), x);
      values.floats().put(0, Oracle.gaussians(2, ROWS * width, 1));
      tape.backward(y, Tensor.zeros(DType.FLOAT32, y.value().shape()));
    }
    assertEquals(2, seen.size());
    return seen;
  }

  private static void assertIsReused(int width, Taken step) {
    List<float[]> kept = outputs(width, true, step);
    assertArrayEquals(kept.get(0), kept.get(1));
    List<float[]> control = outputs(width, false, step);
    assertArrayEquals(kept.get(0), control.get(0));
    assertFalse(Arrays.equals(control.get(0), control.get(1)), "the control");
  }

  @Test
  void aProduct() {
    try (ParameterSet parameters =
            new ParameterSet(Map.of("a", new long[] {2, 6}, "b", new long[] {7, 2}));
        LinearGroup group = group(parameters)) {
      Pass pass = Pass.evaluating(0, ROWS);
      assertIsReused(6, (tape, x, earlier) -> group.apply(tape, x, pass, FLOAT32, work, earlier));
    }
  }

  private static LinearGroup group(ParameterSet parameters) {
    parameters.values().floats().put(0, Oracle.gaussians(4, (int) parameters.numel(), 1));
    LowRank adapter = new LowRank(parameters.get("a"), parameters.get("b"), 0.5, 0);
    Linear linear = new Linear("l", new DenseWeight(Oracle.gaussian(3, 1, 7, 6)), null);
    linear.attach(adapter);
    return new LinearGroup(0, List.of(linear));
  }

  @Test
  void attention() {
    Attention attention = new Attention(2, 1, new RotaryTable(new float[] {1, 0.1f}, 1), 0.5);
    Pass pass = Pass.evaluating(0, ROWS);
    assertIsReused(16, (tape, x, earlier) -> attention.apply(tape, x, pass, FLOAT32, earlier));
  }

  @Test
  void aSum() {
    assertIsReused(6, (tape, x, earlier) -> tape.apply(new Residual(earlier), x, x));
  }

  @Test
  void aPartThatTakesOtherStepsTheSecondTimeIsFound() {
    int[] runs = {0};
    Checkpoint.Part more =
        (tape, inputs, recall) -> {
          Variable y = recall.kept(e -> tape.apply(new Residual(e), inputs[0], inputs[0]));
          return runs[0]++ == 0
              ? y
              : recall.kept(e -> tape.apply(new Residual(e), inputs[0], inputs[0]));
        };
    assertTrue(failure(more).contains("keeps more steps"));
    runs[0] = 0;
    Checkpoint.Part other =
        (tape, inputs, recall) -> {
          Variable x = inputs[0];
          return recall.kept(
              e ->
                  runs[0]++ == 0 ? tape.apply(new SwiGlu(), x) : tape.apply(new Residual(e), x, x));
        };
    assertTrue(failure(other).contains("took other steps"));
  }

  private static String failure(Checkpoint.Part part) {
    try (Tape tape = Tape.recording()) {
      Variable x = tape.leaf(Oracle.gaussian(5, 1, 3, 4));
      Variable y = tape.apply(new Checkpoint(part), x);
      Tensor gradient = Tensor.zeros(DType.FLOAT32, y.value().shape());
      return assertThrows(IllegalStateException.class, () -> tape.backward(y, gradient))
          .getMessage();
    }
  }
}
