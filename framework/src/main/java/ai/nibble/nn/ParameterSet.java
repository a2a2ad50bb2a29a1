package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * All trained tensors in one flat float32 buffer, their gradients in another: the optimizer, the
 * norm and the accumulation of gradients are each one loop. Owns the memory.
 */
public final class ParameterSet implements AutoCloseable {
  private final Scope scope = new Scope();
  private final List<Parameter> parameters = new ArrayList<>();
  private final Map<String, Long> offsets = new LinkedHashMap<>();
  private final Tensor values;
  private final Tensor grads;

  /** Parameters on the CPU: see {@link #ParameterSet(Map, Device)}. */
  public ParameterSet(Map<String, long[]> shapes) {
    this(shapes, Device.CPU);
  }

  /**
   * @param shapes the shape of each parameter by name; values and gradients start as zeros
   */
  public ParameterSet(Map<String, long[]> shapes, Device device) {
    long total = 0;
    for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
      offsets.put(entry.getKey(), total);
      total += numel(entry.getValue());
    }
    values = scope.own(Tensor.empty(device, DType.FLOAT32, total)).zero();
    grads = scope.own(Tensor.empty(device, DType.FLOAT32, total)).zero();
    for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
      long offset = offsets.get(entry.getKey());
      parameters.add(
          new Parameter(
              entry.getKey(),
              view(values, offset, entry.getValue()),
              view(grads, offset, entry.getValue())));
    }
  }

  private Tensor view(Tensor flat, long offset, long[] shape) {
    try (Tensor part = flat.narrow(0, offset, numel(shape))) {
      return scope.own(part.view(shape));
    }
  }

  private static long numel(long[] shape) {
    long n = 1;
    for (long s : shape) {
      n *= s;
    }
    return n;
  }

  /** In the order they were given. */
  public List<Parameter> parameters() {
    return List.copyOf(parameters);
  }

  /** The parameter of this name; null if there is none. */
  public Parameter get(String name) {
    return parameters.stream().filter(p -> p.name().equals(name)).findFirst().orElse(null);
  }

  /** First element of a parameter in the flat buffers. */
  public long offset(String name) {
    return offsets.get(name);
  }

  /** All values, float32 {@code [numel]}. */
  public Tensor values() {
    return values;
  }

  /** All gradients, float32 {@code [numel]}. */
  public Tensor grads() {
    return grads;
  }

  public long numel() {
    return values.numel();
  }

  /**
   * One more float32 buffer {@code [numel]} beside the values, of undefined content, freed with
   * them: for an optimizer's memory.
   */
  public Tensor flatBuffer() {
    return own(Tensor.empty(values.device(), DType.FLOAT32, values.numel()));
  }

  /** Takes over memory that is to be freed with the values, what is owned last first. */
  public <T extends AutoCloseable> T own(T memory) {
    return scope.own(memory);
  }

  /** All values for reading on the host: a view of them on the CPU, a copy of a device's. */
  public FloatBuffer hostValues() {
    return values.device().isCpu() ? values.floats() : FloatBuffer.wrap(values.toFloats());
  }

  /**
   * Sets all values.
   *
   * @param from {@code [numel]}
   */
  public void setValues(FloatBuffer from) {
    values.setFloats(from);
  }

  @Override
  public void close() {
    scope.close();
  }
}
