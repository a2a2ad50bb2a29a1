package ai.nibble.optim;

import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * {@link AdamW} where the parameters are, by kernels: the same bits as on the CPU for the same
 * gradients and norm. Its memory is the parameter set's.
 */
final class DeviceAdamW implements Optimizer {
  private final AdamWConfig config;
  private final List<ParameterRange> ranges;
  private final ParameterSet parameters;
  private final Tensor expAvg;
  private final Tensor expAvgSq;
  private long step;

  DeviceAdamW(AdamWConfig config, List<ParameterRange> ranges, ParameterSet parameters) {
    this.config = config;
    this.ranges = List.copyOf(ranges);
    this.parameters = parameters;
    this.expAvg = parameters.flatBuffer().zero();
    this.expAvgSq = parameters.flatBuffer().zero();
  }

  @Override
  public GradientStep over(ParameterSet of) {
    if (of != parameters) {
      throw new IllegalArgumentException("made for other parameters");
    }
    return new Step();
  }

  private final class Step implements GradientStep {
    private final GradientTree<Tensor> tree = new GradientTree<>(new DeviceBuffers(parameters), 0);
    private final Tensor sumOfSquares = parameters.own(Tensor.empty(device(), DType.FLOAT64, 1));
    private final Tensor factor = parameters.own(Tensor.empty(device(), DType.FLOAT32, 2));

    private Device device() {
      return parameters.values().device();
    }

    @Override
    public void begin() {
      tree.clear();
    }

    @Override
    public void addMicroBatch() {
      tree.add(parameters.grads());
    }

    /** Everything is queued before the norm is read: the device does not wait for the host. */
    @Override
    public double apply(double learningRate, double maxNorm) {
      Tensor sum = tree.sum();
      OptimizerKernels.sumOfSquares(sumOfSquares, sum);
      OptimizerKernels.clipFactor(factor, sumOfSquares, null, maxNorm);
      for (ParameterRange range : ranges) {
        update(range, sum, learningRate);
      }
      double norm = Math.sqrt(sumOfSquares.item());
      if (Double.isFinite(norm)) {
        step++;
      }
      return norm;
    }

    private void update(ParameterRange range, Tensor sum, double learningRate) {
      AdamWUpdate u =
          AdamWUpdate.of(
              config, range.weightDecay(), learningRate * range.lrMultiplier(), step + 1);
      long begin = range.begin();
      long n = range.end() - begin;
      try (Tensor p = parameters.values().narrow(0, begin, n);
          Tensor g = sum.narrow(0, begin, n);
          Tensor m = expAvg.narrow(0, begin, n);
          Tensor v = expAvgSq.narrow(0, begin, n)) {
        OptimizerKernels.adamW(p, g, m, v, factor, u.constants());
      }
    }
  }

  private record DeviceBuffers(ParameterSet parameters) implements GradientTree.Buffers<Tensor> {
    @Override
    public Tensor allocate() {
      return parameters.flatBuffer();
    }

    @Override
    public void add(Tensor into, Tensor from) {
      OptimizerKernels.add(into, from);
    }

    @Override
    public void copy(Tensor into, Tensor from) {
      into.copyFrom(from);
    }

    @Override
    public Tensor view(Tensor buffer) {
      return buffer;
    }

    @Override
    public void check(Tensor buffer) {
      if (buffer.numel() != parameters.numel()) {
        throw new IllegalArgumentException(
            "grads holds " + buffer.numel() + " values, expected " + parameters.numel());
      }
    }

    @Override
    public int elements() {
      return Math.toIntExact(parameters.numel());
    }
  }

  @Override
  public OptimizerState state() {
    Map<String, FloatBuffer> buffers = new LinkedHashMap<>();
    buffers.put(AdamW.EXP_AVG, FloatBuffer.wrap(expAvg.toFloats()));
    buffers.put(AdamW.EXP_AVG_SQ, FloatBuffer.wrap(expAvgSq.toFloats()));
    return new OptimizerState(step, buffers);
  }

  @Override
  public void restore(OptimizerState saved) {
    AdamW.requireState(saved, Math.toIntExact(parameters.numel()));
    expAvg.setFloats(saved.buffers().get(AdamW.EXP_AVG));
    expAvgSq.setFloats(saved.buffers().get(AdamW.EXP_AVG_SQ));
    step = saved.step();
  }
}
