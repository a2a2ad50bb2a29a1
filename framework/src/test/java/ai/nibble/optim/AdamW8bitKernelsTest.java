package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.cuda.KernelTestCase;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.DType;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** 8-bit AdamW by kernels gives the bits of the CPU, and goes on from a state to the same bits. */
class AdamW8bitKernelsTest extends KernelTestCase {
  private static final AdamWConfig CONFIG = new AdamWConfig(0.9, 0.999, 1e-8, 0.1);

  /** One tensor in 8 bits, whose last block is not whole, and one in float32. */
  private ParameterSet parameters() {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    shapes.put("a", new long[] {10, 419});
    shapes.put("b", new long[] {3, 5});
    ParameterSet parameters = scope.own(new ParameterSet(shapes));
    int n = (int) parameters.numel();
    parameters.setValues(FloatBuffer.wrap(gaussian(DType.FLOAT32, 1, n)));
    return parameters;
  }

  private void step(ParameterSet parameters, GradientStep steps, int seed) {
    int n = (int) parameters.numel();
    parameters.grads().setFloats(FloatBuffer.wrap(gaussian(DType.FLOAT32, seed, n)));
    steps.begin();
    steps.addMicroBatch();
    steps.apply(1e-2, 1);
  }

  @Test
  void stepsAndStatesHaveTheBitsOfTheCpu() {
    ParameterSet here = parameters();
    ParameterSet there = parameters();
    List<ParameterRange> ranges = ParameterRange.decayingMatrices(here, 0.1);
    Optimizer cpu = new AdamW8bit(CONFIG, ParameterSlot.of(here, ranges));
    Optimizer kernels = new AdamW8bitConfig(CONFIG).over(there, ranges);
    assertEquals(DeviceAdamW8bit.class, kernels.getClass());
    GradientStep cpuSteps = cpu.over(here);
    GradientStep kernelSteps = kernels.over(there);
    for (int step = 0; step < 4; step++) {
      step(here, cpuSteps, 10 + step);
      step(there, kernelSteps, 10 + step);
      assertArrayEquals(here.values().toFloats(), there.values().toFloats(), "step " + step);
    }
    OptimizerState state = kernels.state();
    assertEquals(cpu.state().vectors().keySet(), state.vectors().keySet());
    cpu.state().buffers().forEach((name, b) -> assertEquals(b, state.buffers().get(name), name));
    cpu.state().vectors().forEach((name, b) -> assertEquals(b, state.vectors().get(name), name));

    Optimizer restored = new AdamW8bitConfig(CONFIG).over(there, ranges);
    restored.restore(state);
    step(here, cpuSteps, 20);
    step(there, restored.over(there), 20);
    assertArrayEquals(here.values().toFloats(), there.values().toFloats());
  }
}
