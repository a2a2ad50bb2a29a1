package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * All trained tensors in one flat float32 buffer, their gradients in another: the optimizer, the
 * norm and the accumulation of gradients are each one loop. Owns the memory.
 *
 * <p>Of a model over several devices each device has two such buffers, in a {@linkplain #parts
 * part} of its own. Offsets and what is read and set on the host are those of the whole in the
 * order given, so nothing that is saved depends on the devices.
 */
public final class ParameterSet implements AutoCloseable {
  private final Scope scope = new Scope();
  private final List<Parameter> parameters = new ArrayList<>();
  private final Map<String, Long> offsets = new LinkedHashMap<>();
  private final List<ParameterSet> parts;
  private final long numel;

  /** Null where there are several parts. */
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
    numel = layOut(shapes);
    parts = List.of(this);
    try {
      values = scope.own(Tensor.empty(device, DType.FLOAT32, numel)).zero();
      grads = scope.own(Tensor.empty(device, DType.FLOAT32, numel)).zero();
      for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
        long offset = offsets.get(entry.getKey());
        parameters.add(
            new Parameter(
                entry.getKey(),
                view(values, offset, entry.getValue()),
                view(grads, offset, entry.getValue())));
      }
    } catch (RuntimeException e) {
      scope.close();
      throw e;
    }
  }

  private ParameterSet(Map<String, long[]> shapes, Map<Device, Map<String, long[]>> byDevice) {
    numel = layOut(shapes);
    values = null;
    grads = null;
    parts = new ArrayList<>();
    try {
      Map<String, Parameter> byName = new HashMap<>();
      byDevice.forEach(
          (device, own) -> {
            ParameterSet part = scope.own(new ParameterSet(own, device));
            parts.add(part);
            part.parameters.forEach(p -> byName.put(p.name(), p));
          });
      shapes.keySet().forEach(name -> parameters.add(byName.get(name)));
    } catch (RuntimeException e) {
      scope.close();
      throw e;
    }
  }

  /**
   * Parameters of which each is where its module is.
   *
   * @param where the device of each by name; parts come in the order of their first parameters
   */
  public static ParameterSet over(Map<String, long[]> shapes, Function<String, Device> where) {
    Map<Device, Map<String, long[]>> byDevice = new LinkedHashMap<>();
    shapes.forEach(
        (name, shape) ->
            byDevice
                .computeIfAbsent(where.apply(name), d -> new LinkedHashMap<>())
                .put(name, shape));
    return byDevice.size() == 1
        ? new ParameterSet(shapes, byDevice.keySet().iterator().next())
        : new ParameterSet(shapes, byDevice);
  }

  private long layOut(Map<String, long[]> shapes) {
    long total = 0;
    for (Map.Entry<String, long[]> entry : shapes.entrySet()) {
      offsets.put(entry.getKey(), total);
      total += numel(entry.getValue());
    }
    return total;
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

  /** First element of a parameter in the flat buffers, or where those of all parts are one. */
  public long offset(String name) {
    return offsets.get(name);
  }

  /** Those of each device; of a set on one device itself. */
  public List<ParameterSet> parts() {
    return List.copyOf(parts);
  }

  /**
   * All values, float32 {@code [numel]}.
   *
   * @throws IllegalStateException if they are on several devices: ask the {@link #parts}
   */
  public Tensor values() {
    return ofOneDevice(values);
  }

  /**
   * All gradients, float32 {@code [numel]}.
   *
   * @throws IllegalStateException if they are on several devices: ask the {@link #parts}
   */
  public Tensor grads() {
    return ofOneDevice(grads);
  }

  private Tensor ofOneDevice(Tensor flat) {
    if (flat == null) {
      throw new IllegalStateException(
          "parameters on " + parts.size() + " devices are in no single buffer: ask their parts");
    }
    return flat;
  }

  /** Sets all gradients to zero. */
  public void zeroGrads() {
    parts.forEach(part -> part.grads.zero());
  }

  public long numel() {
    return numel;
  }

  /**
   * One more float32 buffer {@code [numel]} beside the values, of undefined content, freed with
   * them: for an optimizer's memory.
   */
  public Tensor flatBuffer() {
    return own(Tensor.empty(values().device(), DType.FLOAT32, numel));
  }

  /** Takes over a tensor that is to be freed with the values. */
  public Tensor own(Tensor tensor) {
    return scope.own(tensor);
  }

  /** All values for reading on the host: a view of them on the CPU, a copy of a device's. */
  public FloatBuffer hostValues() {
    if (values == null) {
      return joined(parts.stream().map(ParameterSet::hostValues).toList());
    }
    return values.device().isCpu() ? values.floats() : FloatBuffer.wrap(values.toFloats());
  }

  /**
   * Sets all values.
   *
   * @param from {@code [numel]}
   */
  public void setValues(FloatBuffer from) {
    if (values == null) {
      parts.forEach(part -> part.setValues(ofPart(part, from)));
      return;
    }
    values.setFloats(from);
  }

  /**
   * Buffers in the layouts of the {@link #parts} as one in the layout of the whole, a copy.
   *
   * @param ofParts one a part, in their order
   */
  public FloatBuffer joined(List<FloatBuffer> ofParts) {
    FloatBuffer all = FloatBuffer.allocate(Math.toIntExact(numel));
    for (int i = 0; i < parts.size(); i++) {
      ParameterSet part = parts.get(i);
      FloatBuffer own = ofParts.get(i);
      part.forEachPlace((name, from, n) -> all.put(place(name), own, from, n));
    }
    return all;
  }

  /**
   * What belongs to a part of a buffer in the layout of the whole, in the part's layout: a copy.
   */
  public FloatBuffer ofPart(ParameterSet part, FloatBuffer all) {
    FloatBuffer own = FloatBuffer.allocate(Math.toIntExact(part.numel));
    part.forEachPlace((name, to, n) -> own.put(to, all, place(name), n));
    return own;
  }

  /** A parameter's elements in the flat buffers. */
  @FunctionalInterface
  private interface PlaceVisitor {
    void visit(String name, int first, int elements);
  }

  private void forEachPlace(PlaceVisitor visitor) {
    parameters.forEach(
        p -> visitor.visit(p.name(), place(p.name()), Math.toIntExact(p.value().numel())));
  }

  private int place(String name) {
    return Math.toIntExact(offset(name));
  }

  @Override
  public void close() {
    scope.close();
  }
}
