package ai.nibble.nn;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.NdArrays;
import ai.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The head by itself, against the engine's autograd and central differences. */
class OutputHeadTest extends FunctionTestCase {
  private static final int ROWS = 37;
  private static final int VOCABULARY = 21;
  private static final int HIDDEN = 6;

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, 0",
    "BFLOAT16, 0",
    "FLOAT16, 0",
    "FLOAT32, 0.8",
    "BFLOAT16, 0.8",
    "FLOAT16, 0.8"
  })
  void logitsOfAFrozenHeadAgreeWithTheEngine(DType dtype, double cap) {
    Tensor w = scope.own(scope.own(Oracle.gaussian(1, 0.5, VOCABULARY, HIDDEN)).to(dtype));
    DenseWeight head = new DenseWeight(w);
    List<Tensor> inputs = List.of(scope.own(Oracle.gaussian(2, 1, ROWS, HIDDEN)));
    Oracle.OnTape ours =
        (tape, in) ->
            tape.apply(
                new OutputHead(Head.of(head), precision(dtype), work, new LogitCap(cap)),
                in.get(0));
    Oracle.assertAgreesWithEngine(
        ours,
        (in, manager) -> {
          NDArray weight = NdArrays.toNdArray(scope.own(w.to(DType.FLOAT32)), manager);
          NDArray logits = in.get(0).matMul(weight.transpose());
          NDArray limit = NdArrays.scalar(logits, cap);
          return cap == 0 ? logits : logits.div(limit).tanh().mul(limit);
        },
        inputs,
        dtype,
        tolerance(dtype));
    if (dtype == DType.FLOAT32) {
      Oracle.assertAgreesWithDifferences(ours, inputs);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void aTrainedHeadTakesItsGradientTwiceOverTwoBackwards(DType dtype) {
    ParameterSet parameters =
        scope.own(new ParameterSet(Map.of("head", new long[] {VOCABULARY, HIDDEN})));
    parameters.values().floats().put(0, Oracle.gaussians(3, VOCABULARY * HIDDEN, 0.5));
    DenseWeight head = scope.own(new DenseWeight(parameters.get("head")));
    List<Tensor> inputs = List.of(scope.own(Oracle.gaussian(4, 1, ROWS, HIDDEN)));
    Oracle.OnTape ours =
        (tape, in) -> tape.apply(new OutputHead(head, precision(dtype), work), in.get(0));
    Oracle.onTape(ours, inputs, dtype, 99);
    Oracle.onTape(ours, inputs, dtype, 99);
    // dW = dyᵀ·x, in the engine's own product
    try (NDManager manager = NdArrays.newManager()) {
      Tensor dy = scope.own(Oracle.gaussian(99, 1, ROWS, VOCABULARY));
      NDArray expected =
          NdArrays.toNdArray(dy, manager)
              .transpose()
              .matMul(NdArrays.toNdArray(inputs.get(0), manager))
              .mul(2);
      Oracle.assertClose(
          "dW", expected.toFloatArray(), parameters.grads().toFloats(), tolerance(dtype));
    }
  }
}
