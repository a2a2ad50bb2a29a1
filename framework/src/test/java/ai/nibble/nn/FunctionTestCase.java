package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** What tests of functions share: tensors that close with the test, and how close is close. */
abstract class FunctionTestCase {
  Scope scope;
  Workspace work;
  private long liveBefore;

  @BeforeEach
  void open() {
    liveBefore = Tensor.live();
    scope = new Scope();
    work = scope.own(new Workspace());
  }

  @AfterEach
  void everyTensorIsClosed() {
    scope.close();
    assertEquals(liveBefore, Tensor.live());
  }

  /**
   * bfloat16 keeps 8 bits: a few roundings of 2⁻⁹ each, relative to the largest value; float16
   * three more.
   */
  static double tolerance(DType dtype) {
    return switch (dtype) {
      case FLOAT32 -> 1e-5;
      case FLOAT16 -> 2e-2 / 8;
      default -> 2e-2;
    };
  }

  /** Inverse frequencies of rotary embedding, {@code [d/2]}. */
  static float[] frequencies(int d, double theta) {
    float[] frequencies = new float[d / 2];
    for (int i = 0; i < frequencies.length; i++) {
      frequencies[i] = (float) Math.pow(theta, -2.0 * i / d);
    }
    return frequencies;
  }

  /** Standard normal values. */
  Tensor input(long seed, long... shape) {
    return scope.own(Oracle.gaussian(seed, 1, shape));
  }
}
