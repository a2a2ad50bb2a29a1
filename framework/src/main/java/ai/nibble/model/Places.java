package ai.nibble.model;

import ai.nibble.nn.Precision;
import ai.nibble.nn.Workspace;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;

/** The places of a model's parts: one for each device, shared by all parts that are on it. */
final class Places implements AutoCloseable {
  private final Map<Device, Place> byDevice = new LinkedHashMap<>();
  private final Place embedding;
  private final List<Place> layers;
  private final Place norm;
  private final Place head;

  Places(ModelConfig config, Placement placement, DType compute) {
    for (Device device : placement.devices(config)) {
      Precision precision = Precision.of(compute, device);
      byDevice.put(device, new Place(device, precision, new Workspace(device)));
    }
    embedding = byDevice.get(placement.first());
    layers =
        IntStream.range(0, config.numHiddenLayers())
            .mapToObj(i -> byDevice.get(placement.of(Placement.layer(i))))
            .toList();
    norm = byDevice.get(placement.of(CausalLm.NORM));
    head = byDevice.get(placement.head(config));
  }

  Place embedding() {
    return embedding;
  }

  Place layer(int index) {
    return layers.get(index);
  }

  Place norm() {
    return norm;
  }

  Place head() {
    return head;
  }

  /** In the order in which a pass comes to them first. */
  List<Device> devices() {
    return List.copyOf(byDevice.keySet());
  }

  /** Bytes of all buffers that parts reuse in turn. */
  long workspaceBytes() {
    return byDevice.values().stream().mapToLong(place -> place.work().bytes()).sum();
  }

  @Override
  public void close() {
    byDevice.values().forEach(place -> place.work().close());
  }
}
