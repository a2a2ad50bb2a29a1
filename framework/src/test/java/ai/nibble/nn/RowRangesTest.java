package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Functions that work by ranges of rows give, over several ranges, what they give for rows that are
 * one range; that {@link FunctionsTest} and {@link LinearGroupTest} hold against the engine.
 */
class RowRangesTest {
  private record Result(float[] output, float[] gradient) {}

  private interface OnRows {
    /** Applies the function to so many rows. */
    Variable apply(Tape tape, Variable x, int rows);
  }

  /**
   * @param gradients of the output, as many a row as the output has
   */
  private static Result run(
      OnRows function, DType dtype, float[] values, float[] gradients, int rows) {
    try (Tape tape = Tape.recording();
        Tensor given = Tensor.of(values, rows, values.length / rows);
        Tensor flowing = Tensor.of(gradients, rows, gradients.length / rows)) {
      Variable x = tape.leaf(given.to(dtype));
      Variable y = function.apply(tape, x, rows);
      float[] output = y.value().toFloats();
      tape.backward(y, flowing.to(dtype));
      try (Tensor gradient = tape.takeGradient(x)) {
        return new Result(output, gradient.toFloats());
      }
    }
  }

  /**
   * @param part rows of a part, which is one range
   */
  private static void assertPartsAreTheWhole(
      OnRows function, DType dtype, int rows, int part, int in, int out, double tolerance) {
    float[] values = Oracle.gaussians(1, rows * in, 1);
    float[] gradients = Oracle.gaussians(2, rows * out, 1);
    Result whole = run(function, dtype, values, gradients, rows);
    for (int begin = 0; begin < rows; begin += part) {
      int end = begin + part;
      Result alone =
          run(
              function,
              dtype,
              Arrays.copyOfRange(values, begin * in, end * in),
              Arrays.copyOfRange(gradients, begin * out, end * out),
              part);
      String at = "rows " + begin + " to " + end;
      float[] output = Arrays.copyOfRange(whole.output(), begin * out, end * out);
      float[] gradient = Arrays.copyOfRange(whole.gradient(), begin * in, end * in);
      assertArrayEquals(alone.output(), output, (float) tolerance, at);
      assertArrayEquals(alone.gradient(), gradient, (float) tolerance, at);
    }
  }

  /** 46 rows of 1,400 are a range. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void aGatedActivation(DType dtype) {
    assertPartsAreTheWhole(
        (tape, x, rows) -> tape.apply(new SwiGlu(), x), dtype, 210, 42, 2800, 1400, 0);
  }

  /** 128 rows of four heads of 64 are a range of queries, 256 of two of keys; sequences of 100. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void attention(DType dtype) {
    float[] frequencies = new float[32];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) Math.pow(100, -i / 32.0);
    }
    Attention attention = new Attention(4, 2, new RotaryTable(frequencies, 1), 0.125);
    // products of another number of rows may sum in another order: some units in the last place of
    // values below 4
    double tolerance = dtype == DType.FLOAT32 ? 4e-6 : 0.03;
    assertPartsAreTheWhole(
        (tape, x, rows) -> {
          int[] starts = new int[rows / 100 + 1];
          for (int s = 0; s < starts.length; s++) {
            starts[s] = 100 * s;
          }
          return attention.apply(tape, x, Pass.evaluating(starts), Precision.of(dtype));
        },
        dtype,
        800,
        100,
        512,
        256,
        tolerance);
  }
}
