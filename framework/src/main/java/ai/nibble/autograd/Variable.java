package ai.nibble.autograd;

import ai.nibble.tensor.Tensor;

/**
 * A tensor on a tape. Closing it gives up the value, not what functions saved of it; the tape
 * closes what was left open.
 */
public final class Variable implements AutoCloseable {
  private final int id;
  private final Tensor value;
  private final boolean requiresGrad;

  Variable(int id, Tensor value, boolean requiresGrad) {
    this.id = id;
    this.value = value;
    this.requiresGrad = requiresGrad;
  }

  int id() {
    return id;
  }

  /** The value, owned by this variable. */
  public Tensor value() {
    return value;
  }

  /** Whether a gradient flows back to here. */
  public boolean requiresGrad() {
    return requiresGrad;
  }

  @Override
  public void close() {
    value.close();
  }
}
