package ai.nibble.optim;

import ai.nibble.tensor.Parallel;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * An optimizer whose update of a value depends on that value's gradient and memory alone: one pass
 * over the flat buffer, with flat buffers of memory beside it.
 */
abstract class ElementwiseOptimizer implements HostOptimizer {
  /** The arithmetic of one step in one range. */
  @FunctionalInterface
  interface Update {
    /**
     * Updates the first {@code n} elements of equally long arrays.
     *
     * @param memory the optimizer's memory, in the order of its names
     */
    void apply(float[] params, float[] grads, float[][] memory, int n);
  }

  private final List<ParameterRange> ranges;
  private final int elements;
  private final Map<String, FloatBuffer> memory = new LinkedHashMap<>();
  private long step;

  /**
   * @param ranges cover the flat buffer from 0 without gap or overlap, in order
   * @param memory names of what is remembered of each value, 0 at first
   */
  ElementwiseOptimizer(List<ParameterRange> ranges, List<String> memory) {
    this.ranges = List.copyOf(ranges);
    this.elements = ParameterRange.requireCover(this.ranges);
    memory.forEach(name -> this.memory.put(name, FlatFloats.allocate(elements)));
  }

  /**
   * The arithmetic of a step.
   *
   * @param lr the range's rate at this step
   * @param step its number, from 1
   */
  abstract Update update(ParameterRange range, double lr, long step);

  @Override
  public void step(FloatBuffer params, FloatBuffer grads, double lr) {
    HostOptimizer.check(params, grads, lr, elements);
    step++;
    for (ParameterRange range : ranges) {
      Update update = update(range, lr * range.lrMultiplier(), step);
      int offset = range.begin();
      Parallel.forRanges(
          range.end() - offset,
          FlatFloats.GRAIN,
          (begin, end) -> apply(update, params, grads, offset + (int) begin, offset + (int) end));
    }
  }

  private void apply(Update update, FloatBuffer params, FloatBuffer grads, int begin, int end) {
    int chunk = Math.min(FlatFloats.CHUNK, end - begin);
    FloatBuffer[] buffers = memory.values().toArray(new FloatBuffer[0]);
    float[] p = new float[chunk];
    float[] g = new float[chunk];
    float[][] m = new float[buffers.length][chunk];
    for (int at = begin; at < end; at += chunk) {
      int n = Math.min(chunk, end - at);
      params.get(at, p, 0, n);
      grads.get(at, g, 0, n);
      for (int k = 0; k < m.length; k++) {
        buffers[k].get(at, m[k], 0, n);
      }
      update.apply(p, g, m, n);
      params.put(at, p, 0, n);
      for (int k = 0; k < m.length; k++) {
        buffers[k].put(at, m[k], 0, n);
      }
    }
  }

  @Override
  public OptimizerState state() {
    Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
    memory.forEach((name, buffer) -> buffers.put(name, buffer.duplicate()));
    return new OptimizerState(step, buffers);
  }

  @Override
  public void restore(OptimizerState saved) {
    state().requireSame(saved);
    memory.forEach((name, buffer) -> FlatFloats.copy(buffer, saved.buffers().get(name)));
    step = saved.step();
  }
}
