package ai.nibble.model;

import ai.nibble.tensor.DType;
import java.util.Set;

/**
 * Another source's values, some of which a subclass changes. That the other holds them quantised is
 * not seen through it, for codes are not changed; a subclass that shows them says so. Closing it
 * leaves the other open.
 */
public abstract class WeightView implements WeightSource {
  /** Whose values they are. */
  protected final WeightSource base;

  /**
   * @param base stays the caller's
   */
  protected WeightView(WeightSource base) {
    this.base = base;
  }

  @Override
  public ModelConfig config() {
    return base.config();
  }

  @Override
  public Set<String> names() {
    return base.names();
  }

  @Override
  public long[] shape(String name) {
    return base.shape(name);
  }

  @Override
  public DType dtype(String name) {
    return base.dtype(name);
  }

  @Override
  public DType heldDtype(String name) {
    return base.heldDtype(name);
  }

  @Override
  public void read(String name, long firstElement, float[] out, int offset, int count) {
    base.read(name, firstElement, out, offset, count);
  }

  /** Elements of a row, the last dimension. */
  protected final int width(String name) {
    long[] shape = shape(name);
    return Math.toIntExact(shape[shape.length - 1]);
  }

  @Override
  public void close() {}
}
