package ai.nibble.optim;

import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.Optional;
import java.util.function.BiConsumer;

/**
 * An optimizer where the parameters are, by kernels: gradients are summed, measured and clipped
 * there, and its memory is the parameter set's.
 */
abstract class DeviceOptimizer implements Optimizer {
  private final ParameterSet parameters;
  private final MomentMemory memory;
  private long step;

  /**
   * @param memory of what is remembered
   */
  DeviceOptimizer(ParameterSet parameters, MomentMemory memory) {
    this.parameters = parameters;
    this.memory = memory;
  }

  final ParameterSet parameters() {
    return parameters;
  }

  /** Updates done so far. */
  final long steps() {
    return step;
  }

  /**
   * Queues the update of all values.
   *
   * @param grads float32 {@code [numel]}, to be multiplied by {@code factor[0]}
   * @param factor of {@link OptimizerKernels#clipFactor}: nothing is written where {@code
   *     factor[1]} is 0
   * @param step number of the update, from 1
   */
  abstract void update(Tensor grads, Tensor factor, double learningRate, long step);

  @Override
  public final GradientStep over(ParameterSet of) {
    if (of != parameters) {
      throw new IllegalArgumentException("made for other parameters");
    }
    return new Step();
  }

  @Override
  public final GradientStretch stretch(ParameterSet replica) {
    return new DeviceStretch(replica);
  }

  @Override
  public final void restore(OptimizerState saved) {
    state().requireSame(saved);
    copyIn(saved);
    step = saved.step();
  }

  /** Copies a state in that has all that this one's has. */
  abstract void copyIn(OptimizerState saved);

  private final class Step implements GradientStep {
    private final DeviceStretch stretch = new DeviceStretch(parameters);
    private final Tensor sumOfSquares = parameters.own(Tensor.empty(device(), DType.FLOAT64, 1));
    private final Tensor factor = parameters.own(Tensor.empty(device(), DType.FLOAT32, 2));

    private Device device() {
      return parameters.values().device();
    }

    @Override
    public void begin(int first) {
      stretch.begin(first);
    }

    @Override
    public void addMicroBatch() {
      stretch.addMicroBatch();
    }

    @Override
    public void append(GradientStretch next) {
      stretch.append(next);
    }

    @Override
    public void append(GradientStretch next, BiConsumer<Tensor, Tensor> fetch) {
      stretch.append(next, fetch);
    }

    private void queue(double learningRate, double maxNorm, Tensor sound) {
      Tensor sum = stretch.sum();
      OptimizerKernels.sumOfSquares(sumOfSquares, sum);
      if (sound != null) {
        Poison.spread(sound, sumOfSquares);
      }
      OptimizerKernels.clipFactor(factor, sumOfSquares, sound, maxNorm);
      memory.fetch();
      update(sum, factor, learningRate, step + 1);
    }

    @Override
    public Optional<Ahead> ahead() {
      return Optional.of(
          (learningRate, maxNorm, sound) -> {
            queue(learningRate, maxNorm, sound);
            step++;
            return sumOfSquares;
          });
    }

    /** Everything is queued before the norm is read: the device does not wait for the host. */
    @Override
    public double apply(double learningRate, double maxNorm) {
      queue(learningRate, maxNorm, null);
      double norm = Math.sqrt(sumOfSquares.item());
      if (Double.isFinite(norm)) {
        step++;
      }
      return norm;
    }

    @Override
    public double sumOfSquares() {
      OptimizerKernels.sumOfSquares(sumOfSquares, stretch.sum());
      return sumOfSquares.item();
    }

    @Override
    public void applyPart(double learningRate, double maxNorm, double squares) {
      try (Tensor all = Tensor.of(device(), squares)) {
        sumOfSquares.copyFrom(all);
      }
      OptimizerKernels.clipFactor(factor, sumOfSquares, null, maxNorm);
      memory.fetch();
      update(stretch.sum(), factor, learningRate, step + 1);
      step++;
    }
  }
}
