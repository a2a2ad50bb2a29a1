package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;
import java.util.Random;
import java.util.function.IntToDoubleFunction;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

class TruncatedSvdTest {
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  /** Random singular vectors, singular values as given. */
  private static Tensor matrix(int out, int in, IntToDoubleFunction singular) {
    Random random = new Random(7);
    int k = Math.min(out, in);
    try (Tensor left = random(random, out, k);
        Tensor right = random(random, in, k);
        Ops.Svd u = Ops.svd(left);
        Ops.Svd v = Ops.svd(right);
        Tensor scaled = u.u().to(DType.FLOAT32);
        Tensor transposed = v.u().t()) {
      float[] columns = scaled.toFloats();
      for (int i = 0; i < columns.length; i++) {
        columns[i] *= (float) singular.applyAsDouble(i % k);
      }
      scaled.floats().put(0, columns);
      return Ops.mm(Tensor.empty(DType.FLOAT32, out, in), scaled, transposed);
    }
  }

  private static Tensor random(Random random, int rows, int columns) {
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    return Tensor.of(values, rows, columns);
  }

  /** The squared norm of the matrix without the product, over that of the matrix. */
  private static double unexplained(Tensor matrix, TruncatedSvd svd, int rank) {
    float[] values = matrix.toFloats();
    int in = (int) matrix.size(1);
    double rest = 0;
    double all = 0;
    for (int i = 0; i < values.length; i++) {
      double product = 0;
      for (int k = 0; k < rank; k++) {
        product += (double) svd.b()[i / in * rank + k] * svd.a()[k * in + i % in];
      }
      rest += Math.pow(values[i] - product, 2);
      all += (double) values[i] * values[i];
    }
    return rest / all;
  }

  @Test
  void theShareExplainedIsThatOfTheLargestSingularValues() {
    // singular values 1, 1/2, 1/4, …: the first 3 hold (1 + 1/4 + 1/16) · 3/4 of the squares
    try (Tensor matrix = matrix(40, 24, i -> Math.pow(0.5, i))) {
      TruncatedSvd svd = TruncatedSvd.of(matrix, 3);
      assertEquals((1 + 0.25 + 0.0625) * 0.75, svd.explained(), 1e-5);
      assertEquals(1 - svd.explained(), unexplained(matrix, svd, 3), 1e-5);
    }
  }

  @Test
  void aMatrixOfLowRankIsHeldWhole() {
    try (Tensor matrix = matrix(30, 50, i -> i < 4 ? 1 + i : 0)) {
      TruncatedSvd svd = TruncatedSvd.of(matrix, 4);
      assertEquals(1, svd.explained(), 1e-6);
      assertEquals(0, unexplained(matrix, svd, 4), 1e-10);
    }
  }

  @Test
  void randomisedAgreesWithLapackWhereSingularValuesFallSlowly() {
    // 1/√i: neighbours at the cut differ by 6 %, the hardest kind for subspace iteration
    try (Tensor matrix = matrix(200, 150, i -> 1 / Math.sqrt(i + 1))) {
      TruncatedSvd exact = TruncatedSvd.exact(matrix, 8);
      TruncatedSvd randomized = TruncatedSvd.randomized(matrix, 8, TruncatedSvd.PASSES);
      assertTrue(randomized.explained() <= exact.explained() + 1e-6);
      assertEquals(exact.explained(), randomized.explained(), 1e-4);
      assertEquals(1 - randomized.explained(), unexplained(matrix, randomized, 8), 1e-5);
    }
  }

  @Test
  void randomisedFindsALowRankUnderRoundingNoise() {
    try (Tensor matrix = matrix(120, 90, i -> i < 5 ? 1 : 1e-3)) {
      TruncatedSvd svd = TruncatedSvd.randomized(matrix, 5, TruncatedSvd.PASSES);
      assertEquals(5 / (5 + 85e-6), svd.explained(), 1e-6);
    }
  }
}
