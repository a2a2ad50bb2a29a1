package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.autograd.Variable;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The same facts about groups of linears when kernels compute them. */
@ParameterizedClass
@EnumSource
class LinearGroupByKernelsTest extends LinearGroupTest {
  @Parameter KernelForm form;
  private KernelLaunchers.Installation kernels;

  @BeforeEach
  void install() {
    kernels = form.install();
  }

  @AfterEach
  void remove() {
    if (kernels != null) {
      kernels.close();
    }
  }

  /** The norm's rows leave no room, so that the group copies them, or room that it writes to. */
  private Oracle.Result normedProduct(ParameterSet parameters, LinearGroup group, int room) {
    Pass pass = new Pass(new int[] {0, 11}, true, 77);
    Precision precision = Precision.of(DType.FLOAT32);
    RmsNorm norm = scope.own(new RmsNorm(Oracle.gaussian(51, 1, IN), 1e-5));
    parameters.grads().zero();
    return Oracle.onTape(
        (tape, in) -> {
          Variable normed = norm.apply(tape, in.get(0), room);
          return group.apply(tape, normed, pass, precision, work);
        },
        List.of(input(52, 11, IN)),
        DType.FLOAT32,
        99);
  }

  @ParameterizedTest
  @ValueSource(doubles = {0, 0.3})
  void roomBehindTheInputChangesNothing(double dropout) {
    ParameterSet parameters = parameters();
    LinearGroup group = group(parameters, dropout);
    int room = group.room(Precision.of(DType.FLOAT32));
    assertEquals(64, IN + room);
    // what a workspace holds must not matter: NaN times the weight's zeros would be NaN
    try (Tensor before = work.get(Workspace.Purpose.INPUT, DType.FLOAT32, 11, 64)) {
      before.copyFrom(scope.own(Tensor.of(filled(Float.NaN, 11 * 64), 11, 64)));
    }
    Oracle.Result copied = normedProduct(parameters, group, 0);
    float[] gradients = parameters.grads().toFloats();
    Oracle.Result inPlace = normedProduct(parameters, group, room);
    Oracle.assertClose("output", copied.output(), inPlace.output(), tolerance(DType.FLOAT32));
    Oracle.assertClose(
        "dx", copied.gradients().get(0), inPlace.gradients().get(0), tolerance(DType.FLOAT32));
    Oracle.assertClose(
        "adapters", gradients, parameters.grads().toFloats(), tolerance(DType.FLOAT32));
  }

  private static float[] filled(float value, int n) {
    float[] values = new float[n];
    Arrays.fill(values, value);
    return values;
  }
}
