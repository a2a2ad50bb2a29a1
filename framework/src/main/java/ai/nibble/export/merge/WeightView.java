package ai.nibble.export.merge;

import ai.nibble.model.ModelConfig;
import ai.nibble.model.WeightSource;
import ai.nibble.tensor.DType;
import java.util.Set;

/** Another source's weights, some of which a subclass changes. Closing it leaves the other open. */
abstract class WeightView implements WeightSource {
  final WeightSource base;

  WeightView(WeightSource base) {
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
  final int width(String name) {
    long[] shape = shape(name);
    return Math.toIntExact(shape[shape.length - 1]);
  }

  @Override
  public void close() {}
}
