package ai.nibble.tensor;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Owns native resources and frees them, last first, when closed. Whoever opens a scope closes it in
 * the same method.
 */
public final class Scope implements AutoCloseable {
  private final Deque<AutoCloseable> owned = new ArrayDeque<>();

  /** Takes ownership of a resource and returns it. */
  public <T extends AutoCloseable> T own(T resource) {
    owned.push(resource);
    return resource;
  }

  /** An uninitialised tensor on the CPU that lives as long as this scope. */
  public Tensor empty(DType dtype, long... shape) {
    return own(Tensor.empty(dtype, shape));
  }

  /** An uninitialised tensor that lives as long as this scope. */
  public Tensor empty(Device device, DType dtype, long... shape) {
    return own(Tensor.empty(device, dtype, shape));
  }

  /** Leaves everything open: the owner of what was built of it takes it over. */
  public void release() {
    owned.clear();
  }

  /** Frees everything; an exception of one does not keep the others from being freed. */
  @Override
  public void close() {
    RuntimeException first = null;
    while (!owned.isEmpty()) {
      try {
        owned.pop().close();
      } catch (Exception e) {
        RuntimeException wrapped =
            e instanceof RuntimeException r ? r : new TensorException("closing failed", e);
        if (first == null) {
          first = wrapped;
        } else {
          first.addSuppressed(wrapped);
        }
      }
    }
    if (first != null) {
      throw first;
    }
  }
}
