package ai.nibble.optim;

import ai.nibble.cuda.OptimizerKernels;
import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.Tensor;
import java.util.function.BiConsumer;

/** A stretch that is summed where the parameters are, by kernels; its memory is the set's. */
final class DeviceStretch implements GradientStretch {
  private final ParameterSet parameters;
  private final GradientTree<Tensor> tree;

  DeviceStretch(ParameterSet parameters) {
    this.parameters = parameters;
    this.tree = new GradientTree<>(new DeviceBuffers(parameters), 0);
  }

  @Override
  public void begin(int first) {
    tree.begin(first);
  }

  @Override
  public void addMicroBatch() {
    tree.add(parameters.grads());
  }

  @Override
  public void append(GradientStretch next) {
    tree.append(treeOf(next));
  }

  @Override
  public void append(GradientStretch next, BiConsumer<Tensor, Tensor> fetch) {
    tree.append(treeOf(next), fetch);
  }

  private static GradientTree<Tensor> treeOf(GradientStretch next) {
    if (!(next instanceof DeviceStretch other)) {
      throw new IllegalArgumentException("a stretch on a device cannot go on with " + next);
    }
    return other.tree;
  }

  /** See {@link GradientTree#sum}. */
  Tensor sum() {
    return tree.sum();
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
