package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.Variable;
import ai.nibble.cuda.ExpertKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The same facts about mixtures of experts when kernels compute them. */
@ParameterizedClass
@EnumSource
class ExpertsByKernelsTest extends ExpertsTest {
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

  /** Tokens, width, experts, experts a token: one of each, odd, more experts than a warp. */
  private static final int[][] SHAPES = {
    {1, 1, 1, 1}, {3, 17, 5, 2}, {9, 64, 8, 8}, {41, 576, 33, 3}, {2, 1000, 130, 8}
  };

  private record Result(float[] output, float[] dx, float[] dLogits) {}

  /** Experts multiply their tokens by 4, 8 or 16, which rounds nothing. */
  private static Result run(Tensor x, Tensor logits, int perToken, boolean sumToOne) {
    try (Tape tape = Tape.recording()) {
      Variable in = tape.leaf(x.share());
      Variable scores = tape.leaf(logits.share());
      Variable out =
          Experts.apply(
              tape,
              in,
              scores,
              new Router(perToken, sumToOne, true),
              (index, tokens) -> doubled(tape, tokens, index % 3 + 1),
              step -> step.take(Earlier.NONE));
      float[] values = out.value().toFloats();
      Tensor gradient = Oracle.gaussian(5, 1, out.value().shape());
      try (gradient) {
        tape.backward(out, gradient.to(x.dtype()));
      }
      try (Tensor dx = tape.takeGradient(in);
          Tensor dLogits = tape.takeGradient(scores)) {
        return new Result(values, dx.toFloats(), dLogits.toFloats());
      }
    }
  }

  private static Variable doubled(Tape tape, Variable tokens, int times) {
    Variable twice = tape.apply(new Residual(), tokens, tokens);
    try (Variable given = twice) {
      return times == 1
          ? tape.apply(new Residual(), given, given)
          : doubled(tape, given, times - 1);
    }
  }

  /** Sums are in one order, but for those over a row that make a weight's gradient. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void theBitsAreThoseOfTheLoops(DType dtype) {
    for (int[] shape : SHAPES) {
      for (boolean sumToOne : new boolean[] {true, false}) {
        Tensor x = scope.own(input(1, shape[0], shape[1]).to(dtype));
        Tensor logits = scope.own(input(2, shape[0], shape[2]).to(dtype));
        Result byKernels = run(x, logits, shape[3], sumToOne);
        kernels.close();
        Result byLoops = run(x, logits, shape[3], sumToOne);
        kernels = form.install();
        String what = dtype + " " + shape[0] + "x" + shape[1] + " of " + shape[2];
        assertArrayEquals(byLoops.output, byKernels.output, what);
        assertArrayEquals(byLoops.dx, byKernels.dx, what);
        Oracle.assertClose(what, byLoops.dLogits, byKernels.dLogits, tolerance(dtype));
      }
    }
  }

  /** Of equal ones the first; ascending; as many as asked for, whatever the probabilities are. */
  @Test
  void theChoiceIsThatOfTheHost() {
    Random random = new Random(4);
    for (int count : new int[] {1, 2, 31, 32, 33, 128, 200}) {
      for (int k : new int[] {1, Math.min(count, 3), count}) {
        float[] values = new float[7 * count];
        for (int i = 0; i < values.length; i++) {
          values[i] = random.nextInt(6) / 8f; // many are equal
        }
        for (int e = 0; e < count; e++) {
          values[6 * count + e] = Float.NaN;
        }
        Tensor p = scope.own(Tensor.of(values, 7, count));
        Tensor experts = scope.own(Tensor.empty(DType.INT32, 7, k));
        Tensor weights = scope.own(Tensor.empty(DType.FLOAT32, 7, k));
        ExpertKernels.choose(experts, weights, p, false);
        int[] chosen = new int[7 * k];
        experts.bytes(0, 4 * chosen.length).asIntBuffer().get(chosen);
        assertArrayEquals(Routing.of(p, k).experts(), chosen, k + " of " + count);
        float[] w = weights.toFloats();
        for (int i = 0; i < w.length; i++) {
          assertEquals(values[i / k * count + chosen[i]], w[i]);
        }
        assertTrue(w.length > 0);
      }
    }
  }
}
