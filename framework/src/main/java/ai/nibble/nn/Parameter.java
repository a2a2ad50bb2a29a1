package ai.nibble.nn;

import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;

/**
 * A trained tensor: views of the flat float32 buffers that hold all of them.
 *
 * @param name the name it is saved under
 * @param value float32
 * @param grad float32, of the same shape; backward adds to it. Null where the value is not trained
 */
public record Parameter(String name, Tensor value, Tensor grad) {
  /** A value that stands where a trained one could, and stays what it is. */
  public static Parameter frozen(String name, Tensor value) {
    return new Parameter(name, value, null);
  }

  /** The values for reading on the host: a view of them on the CPU, a copy of a device's. */
  public FloatBuffer hostValues() {
    return value.device().isCpu() ? value.floats() : FloatBuffer.wrap(value.toFloats());
  }
}
