package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * Holds a function on the tape against two judges that share no code with it: the engine's autograd
 * on an expression that says the same, and central differences of the function itself.
 */
final class Oracle {
  /** The function under test: from leaves on a tape to one output. */
  interface OnTape {
    Variable run(Tape tape, List<Variable> inputs);
  }

  /** The same as an expression of the engine. */
  interface Expression {
    NDArray run(NDList inputs, NDManager manager);
  }

  private Oracle() {}

  static float[] gaussians(long seed, int n, double scale) {
    Random random = new Random(seed);
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) (scale * random.nextGaussian());
    }
    return values;
  }

  static Tensor gaussian(long seed, double scale, long... shape) {
    int n = 1;
    for (long s : shape) {
      n *= (int) s;
    }
    return Tensor.of(gaussians(seed, n, scale), shape);
  }

  /** Output and input gradients. */
  record Result(float[] output, List<float[]> gradients) {}

  static Result onTape(OnTape function, List<Tensor> inputs, DType dtype, long seed) {
    try (Tape tape = Tape.recording()) {
      List<Variable> leaves = new ArrayList<>();
      inputs.forEach(input -> leaves.add(tape.leaf(input.to(dtype))));
      Variable output = function.run(tape, leaves);
      float[] values = output.value().toFloats();
      try (Tensor grad = gaussian(seed, 1, output.value().shape())) {
        tape.backward(output, grad.to(output.value().dtype()));
      }
      List<float[]> gradients = new ArrayList<>();
      for (Variable leaf : leaves) {
        try (Tensor gradient = tape.takeGradient(leaf)) {
          gradients.add(gradient.toFloats());
        }
      }
      return new Result(values, gradients);
    }
  }

  /** Fails unless output and all gradients agree with the engine's within a relative tolerance. */
  static void assertAgreesWithEngine(
      OnTape function, Expression expression, List<Tensor> inputs, DType dtype, double tolerance) {
    Result ours = onTape(function, inputs, dtype, 99);
    try (Scope scope = new Scope();
        NDManager manager = NdArrays.newManager()) {
      NDList leaves = new NDList();
      for (Tensor input : inputs) {
        try (Tensor typed = input.to(dtype)) {
          leaves.add(NdArrays.toLeaf(scope.own(typed.to(DType.FLOAT32)), manager));
        }
      }
      NDArray output = NdArrays.recording(() -> expression.run(leaves, manager));
      assertClose("output", output.toFloatArray(), ours.output(), tolerance);
      Tensor grad = scope.own(gaussian(99, 1, output.getShape().getShape()));
      List<Tensor> theirs = NdArrays.backward(output, grad, leaves);
      theirs.forEach(scope::own);
      for (int i = 0; i < theirs.size(); i++) {
        float[] gradient = ours.gradients().get(i);
        assertClose("gradient of input " + i, theirs.get(i).toFloats(), gradient, tolerance);
      }
    }
  }

  /**
   * Fails unless the slope of {@code Σ output·weights} along a random direction of each input is
   * what the gradient says. Float32 differences of step h carry an error of about 1e-7/h + h².
   */
  static void assertAgreesWithDifferences(OnTape function, List<Tensor> inputs) {
    double h = 5e-3;
    Result at = onTape(function, inputs, DType.FLOAT32, 99);
    float[] weights = gaussians(99, at.output().length, 1);
    for (int i = 0; i < inputs.size(); i++) {
      float[] values = inputs.get(i).toFloats();
      float[] direction = gaussians(1000 + i, values.length, 1);
      double expected = dot(at.gradients().get(i), direction);
      double slope =
          (objective(function, inputs, i, direction, h, weights)
                  - objective(function, inputs, i, direction, -h, weights))
              / (2 * h);
      double scale = Math.sqrt(dot(at.gradients().get(i), at.gradients().get(i)));
      assertEquals(expected, slope, 5e-3 * Math.max(1, scale), "slope by input " + i);
    }
  }

  private static double objective(
      OnTape function, List<Tensor> inputs, int which, float[] direction, double h, float[] w) {
    float[] values = inputs.get(which).toFloats();
    for (int k = 0; k < values.length; k++) {
      values[k] += (float) (h * direction[k]);
    }
    try (Tape tape = Tape.inference();
        Tensor moved = Tensor.of(values, inputs.get(which).shape())) {
      List<Variable> constants = new ArrayList<>();
      for (int i = 0; i < inputs.size(); i++) {
        constants.add(tape.constant((i == which ? moved : inputs.get(i)).share()));
      }
      return dot(function.run(tape, constants).value().toFloats(), w);
    }
  }

  static double dot(float[] a, float[] b) {
    double sum = 0;
    for (int i = 0; i < a.length; i++) {
      sum += (double) a[i] * b[i];
    }
    return sum;
  }

  static void assertClose(String what, float[] expected, float[] actual, double relative) {
    assertEquals(expected.length, actual.length, what);
    double scale = 1e-6;
    for (float e : expected) {
      scale = Math.max(scale, Math.abs(e));
    }
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual[i], relative * scale, what + ", element " + i);
    }
  }
}
