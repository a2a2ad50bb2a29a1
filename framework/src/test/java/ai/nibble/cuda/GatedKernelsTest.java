package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.nn.GeGlu;
import ai.nibble.nn.SwiGlu;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The gated activations' kernels against {@link SwiGlu} and {@link GeGlu}. */
class GatedKernelsTest extends KernelTestCase {
  private record Both(float[] h, float[] dGateUp) {}

  /** What the layer computes, through its tape. */
  private Both layers(Function function, Tensor gateUp, Tensor dh) {
    try (Tape tape = Tape.recording()) {
      Variable input = tape.leaf(gateUp.share());
      Variable output = tape.apply(function, input);
      float[] h = floats(output.value());
      tape.backward(output, dh.share());
      try (Tensor gradient = tape.takeGradient(input)) {
        return new Both(h, floats(gradient));
      }
    }
  }

  /**
   * Exponentials here and in libtorch are each within 2 ulp of float32, so what is rounded to T is
   * the same but for values that close to half way between two numbers. There silu differs by one
   * ulp of T, its product by two, and with float32 by a few roundings.
   */
  private static void assertClose(DType dtype, float[] expected, Tensor actual, String what) {
    float[] got = floats(actual);
    int different = 0;
    for (int i = 0; i < got.length; i++) {
      double bound = (dtype == DType.FLOAT32 ? 16 : 4) * unit(dtype) * Math.abs(expected[i]);
      // silu' passes through zero where its two terms cancel: there the error is of the terms
      double cancelled = 16 * 0x1p-24 * 16;
      double smallest = dtype == DType.FLOAT16 ? 0x1p-23 : 0;
      assertTrue(
          Math.abs(got[i] - expected[i]) <= bound + cancelled + smallest,
          what + ", element " + i + ": " + got[i] + " for " + expected[i]);
      different += got[i] == expected[i] ? 0 : 1;
    }
    if (dtype == DType.BFLOAT16) {
      assertTrue(different <= 2 + got.length / 500, what + ": " + different + " differ");
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void isTheLayersFunctionAndGradient(DType dtype) {
    for (GatedKernels kernels : GatedKernels.values()) {
      for (int rows : new int[] {1, 5}) {
        for (int width : new int[] {1, 3, 17, 63, 576, 1000, 4096}) {
          String what = kernels + " " + dtype + " " + rows + "x" + width;
          Tensor gateUp = tensor(dtype, gaussian(dtype, 1, 2 * rows * width), rows, 2L * width);
          Tensor dh = tensor(dtype, gaussian(dtype, 2, rows * width), rows, width);
          Both expected = inJava(() -> layers(function(kernels), gateUp, dh));
          Tensor h = unwritten(dtype, rows, width);
          kernels.forward(h, gateUp);
          assertClose(dtype, expected.h, h, what);
          kernels.backward(gateUp, dh, gateUp);
          assertClose(dtype, expected.dGateUp, gateUp, what + " in its input's place");
        }
      }
    }
  }

  private static Function function(GatedKernels kernels) {
    return kernels == GatedKernels.SWIGLU ? new SwiGlu() : new GeGlu();
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void rowsThatBeginAnywhereGiveTheSame(DType dtype) {
    for (GatedKernels kernels : GatedKernels.values()) {
      float[] values = gaussian(dtype, 3, 2 * 3 * 64);
      float[] gradient = gaussian(dtype, 4, 3 * 64);
      Tensor h = unwritten(dtype, 3, 64);
      Tensor dGateUp = unwritten(dtype, 3, 128);
      kernels.forward(h, tensor(dtype, values, 3, 128));
      kernels.backward(dGateUp, tensor(dtype, gradient, 3, 64), tensor(dtype, values, 3, 128));
      Tensor moved = misplaced(dtype, new float[3 * 64], 3, 64);
      Tensor place = misplaced(dtype, values, 3, 128);
      kernels.forward(moved, place);
      assertSame(floats(h), moved, "forward");
      kernels.backward(place, misplaced(dtype, gradient, 3, 64), place);
      assertSame(floats(dGateUp), place, "backward");
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void roomBehindRowsIsClearedAndPassedOver(DType dtype) {
    for (GatedKernels kernels : GatedKernels.values()) {
      for (int width : new int[] {1, 17, 576}) {
        for (int room : new int[] {1, 64, 600}) {
          Tensor gateUp = tensor(dtype, gaussian(dtype, 5, 6 * width), 3, 2L * width);
          Tensor h = unwritten(dtype, 3, width);
          kernels.forward(h, gateUp);
          Tensor apart = unwrittenRows(dtype, 3, width, room);
          kernels.forward(apart, gateUp);
          assertRows(floats(h), apart, room, dtype + " " + width + "+" + room);
          Tensor dh = tensor(dtype, gaussian(dtype, 6, 3 * width), 3, width);
          Tensor expected = unwritten(dtype, 3, 2 * width);
          kernels.backward(expected, dh, gateUp);
          Tensor dGateUp = unwritten(dtype, 3, 2 * width);
          kernels.backward(dGateUp, apart(dh, room), gateUp);
          assertSame(floats(expected), dGateUp, dtype + " gradient " + width + "+" + room);
        }
      }
    }
  }

  @Test
  void operandsThatDoNotFitAreNamed() {
    Tensor gateUp = tensor(DType.FLOAT32, new float[24], 3, 8);
    Tensor turned = scope.own(tensor(DType.FLOAT32, new float[12], 4, 3).t());
    assertEquals(
        "swiglu: h is strided float32[3, 4], expected float32[3, 4], contiguous rows",
        assertThrows(TensorException.class, () -> GatedKernels.SWIGLU.forward(turned, gateUp))
            .getMessage());
    Tensor odd = tensor(DType.FLOAT32, new float[21], 3, 7);
    assertEquals(
        "swiglu: gateUp is float32[3, 7], expected float32[3, 6], contiguous",
        assertThrows(TensorException.class, () -> GatedKernels.SWIGLU.forward(turned, odd))
            .getMessage());
  }

  @Test
  void farGatesAreOpenOrShutAndInfinityIsNotHidden() {
    float[] gates = {100, -100, 0, Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY};
    float[] values = new float[12];
    for (int i = 0; i < 6; i++) {
      values[2 * i] = gates[i];
      values[2 * i + 1] = 3;
    }
    Tensor h = unwritten(DType.FLOAT32, 6, 1);
    GatedKernels.SWIGLU.forward(h, tensor(DType.FLOAT32, values, 6, 2));
    float[] got = floats(h);
    assertEquals(300, got[0]);
    assertEquals(0, got[1], 3 * 100 * Math.exp(-100) * 1.01);
    assertEquals(0, got[2]);
    assertTrue(Float.isNaN(got[3]));
    assertEquals(Float.POSITIVE_INFINITY, got[4]);
    assertTrue(Float.isNaN(got[5]), "−∞/∞, as libtorch has it");
  }

  @Test
  void noRowsAreNothing() {
    GatedKernels.SWIGLU.forward(
        tensor(DType.FLOAT32, new float[0], 0, 4), tensor(DType.FLOAT32, new float[0], 0, 8));
  }
}
