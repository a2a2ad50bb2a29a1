package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Gradients of parameters, against the engine's autograd and central differences. */
abstract class TrainedParametersTestCase extends FunctionTestCase {
  ParameterSet parameters(Map<String, long[]> shapes) {
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    parameters.values().floats().put(0, Oracle.gaussians(30, (int) parameters.numel(), 0.5));
    return parameters;
  }

  static Map<String, long[]> shapes(Object... pairs) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (int i = 0; i < pairs.length; i += 2) {
      shapes.put((String) pairs[i], (long[]) pairs[i + 1]);
    }
    return shapes;
  }

  static long[] size(long... shape) {
    return shape;
  }

  private Tensor rounded(Tensor values, DType dtype) {
    return scope.own(scope.own(values.to(dtype)).to(DType.FLOAT32));
  }

  /** Matrices are rounded to the compute dtype when they are used, vectors are not. */
  void assertAgrees(
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

  static int[] targets(int rows, int vocabulary) {
    int[] targets = new int[rows];
    for (int i = 0; i < rows; i++) {
      targets[i] = (i * 7 + i / 13) % vocabulary;
    }
    return targets;
  }

  static NDArray crossEntropy(NDArray x, NDArray head, int[] targets, NDManager manager) {
    NDArray logs = x.matMul(head.transpose()).logSoftmax(1);
    NDArray oneHot = manager.create(targets).oneHot((int) head.getShape().get(0));
    return logs.mul(oneHot).sum().neg().div(NdArrays.scalar(logs, 100)).reshape(1);
  }
}
