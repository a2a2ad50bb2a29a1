package ai.nibble.optim;

import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Pages;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.List;

/**
 * {@link AdamW} where the parameters are, by kernels: the same bits as on the CPU for the same
 * gradients and norm.
 */
final class DeviceAdamW extends DeviceOptimizer {
  private final AdamWConfig config;
  private final List<ParameterRange> ranges;
  private final Tensor expAvg;
  private final Tensor expAvgSq;

  DeviceAdamW(
      AdamWConfig config,
      List<ParameterRange> ranges,
      ParameterSet parameters,
      MomentMemory memory) {
    super(parameters, memory);
    this.config = config;
    this.ranges = List.copyOf(ranges);
    this.expAvg = memory.take(DType.FLOAT32, parameters.numel()).zero();
    this.expAvgSq = memory.take(DType.FLOAT32, parameters.numel()).zero();
  }

  /** Bytes of the moments of so many values in pages. */
  static long momentBytes(long values) {
    return 2 * Pages.bytesFor(DType.FLOAT32, values);
  }

  @Override
  void update(Tensor grads, Tensor factor, double learningRate, long step) {
    for (ParameterRange range : ranges) {
      AdamWUpdate u =
          AdamWUpdate.of(config, range.weightDecay(), learningRate * range.lrMultiplier(), step);
      long begin = range.begin();
      long n = range.end() - begin;
      try (Tensor p = parameters().values().narrow(0, begin, n);
          Tensor g = grads.narrow(0, begin, n);
          Tensor m = expAvg.narrow(0, begin, n);
          Tensor v = expAvgSq.narrow(0, begin, n)) {
        OptimizerKernels.adamW(p, g, m, v, factor, u.constants());
      }
    }
  }

  @Override
  public OptimizerState state() {
    FloatBuffer m = FloatBuffer.wrap(expAvg.toFloats());
    FloatBuffer v = FloatBuffer.wrap(expAvgSq.toFloats());
    return new OptimizerState(steps(), AdamW8bit.buffers(m, v));
  }

  @Override
  void copyIn(OptimizerState saved) {
    expAvg.setFloats(saved.buffers().get(AdamW.EXP_AVG));
    expAvgSq.setFloats(saved.buffers().get(AdamW.EXP_AVG_SQ));
  }
}
