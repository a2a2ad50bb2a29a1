package ai.nibble.optim;

import ai.nibble.nn.ParameterSet;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;

/** A stretch that is summed in the main memory, of gradients that are there or are copied there. */
final class HostStretch implements GradientStretch {
  private final ParameterSet parameters;
  private final GradientTree<FloatBuffer> tree;

  HostStretch(ParameterSet parameters) {
    this.parameters = parameters;
    this.tree = GradientTree.ofFloats(Math.toIntExact(parameters.numel()));
  }

  @Override
  public void begin(int first) {
    tree.begin(first);
  }

  @Override
  public void addMicroBatch() {
    Tensor grads = parameters.grads();
    tree.add(grads.device().isCpu() ? grads.floats() : FloatBuffer.wrap(grads.toFloats()));
  }

  @Override
  public void append(GradientStretch next) {
    if (!(next instanceof HostStretch other)) {
      throw new IllegalArgumentException("a stretch in the main memory cannot go on with " + next);
    }
    tree.append(other.tree);
  }

  /** See {@link GradientTree#sum}. */
  FloatBuffer sum() {
    return tree.sum();
  }
}
