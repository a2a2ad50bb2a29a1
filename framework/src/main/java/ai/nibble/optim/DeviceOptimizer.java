package ai.nibble.optim;

import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;

/**
 * An optimizer where the parameters are, by kernels: gradients are summed, measured and clipped
 * there, and its memory is the parameter set's.
 */
abstract class DeviceOptimizer implements Optimizer {
  private final ParameterSet parameters;
  private long step;

  DeviceOptimizer(ParameterSet parameters) {
    this.parameters = parameters;
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
  public final void restore(OptimizerState saved) {
    state().requireSame(saved);
    copyIn(saved);
    step = saved.step();
  }

  /** Copies a state in that has all that this one's has. */
  abstract void copyIn(OptimizerState saved);

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
      update(sum, factor, learningRate, step + 1);
      double norm = Math.sqrt(sumOfSquares.item());
      if (Double.isFinite(norm)) {
        step++;
      }
      return norm;
    }

    @Override
    public double sumOfSquares() {
      OptimizerKernels.sumOfSquares(sumOfSquares, tree.sum());
      return sumOfSquares.item();
    }

    @Override
    public void applyPart(double learningRate, double maxNorm, double squares) {
      try (Tensor host = Tensor.empty(DType.FLOAT64, 1)) {
        host.bytes(0, Double.BYTES).putDouble(0, squares);
        sumOfSquares.copyFrom(host);
      }
      OptimizerKernels.clipFactor(factor, sumOfSquares, null, maxNorm);
      update(tree.sum(), factor, learningRate, step + 1);
      step++;
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
}
