package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.UnaryOperator;

/**
 * Where to compute ({@code device_map}): where there is room, on one device, or each module on its
 * own.
 *
 * @param modules devices by module path, {@link Placement#ALL} for the whole model; empty: auto
 */
public record DeviceMap(Map<String, Device> modules) {
  /** The GPUs in their order, then the CPU. */
  public static final DeviceMap AUTO = new DeviceMap(Map.of());

  private static final Device FIRST_GPU = new Device(Device.Type.CUDA, 0);

  public DeviceMap {
    modules = Collections.unmodifiableMap(new LinkedHashMap<>(modules));
  }

  /** All of a model on one device. */
  public static DeviceMap on(Device device) {
    return new DeviceMap(Map.of(Placement.ALL, device));
  }

  /** What a word says: {@code auto} or a device; empty if it says nothing. */
  public static Optional<DeviceMap> parse(String word) {
    return word.equals("auto") ? Optional.of(AUTO) : DeviceName.parse(word).map(DeviceMap::on);
  }

  /** Whether devices are chosen by the room they have. */
  public boolean isAuto() {
    return modules.isEmpty();
  }

  /** The placement that was asked for; empty where devices are chosen. */
  public Optional<Placement> placement() {
    return isAuto() ? Optional.empty() : Optional.of(new Placement(modules));
  }

  /** The device, or of several the one that a choice begins with. */
  public Device first() {
    return placement().map(Placement::first).orElseGet(LoadOptions::autoDevice);
  }

  /**
   * Checks that every device is there.
   *
   * @param where the place of a key, for messages: of {@code KEY}, or {@code KEY.MODULE}
   * @throws InvalidInputException for each that is not
   */
  public void requireDevices(String key, UnaryOperator<String> where) {
    List<String> problems = new ArrayList<>();
    modules.forEach(
        (module, device) ->
            LoadOptions.missing(device)
                .ifPresent(
                    why -> {
                      String full = module.equals(Placement.ALL) ? key : key + "." + module;
                      problems.add(where.apply(full) + " is " + text(device) + ", but " + why);
                    }));
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private static String text(Device device) {
    return device.equals(FIRST_GPU) ? "cuda" : device.toString();
  }

  /** Reads {@code auto}, a device, or a device for each module. */
  record Type() implements ValueType {
    private static final String DEVICE = "one of [auto, " + DeviceName.EXPECTED.replace(" or", ",");

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Fields fields) {
        return modules(fields, at);
      }
      if (node instanceof Node.Scalar scalar && scalar.text().equals("auto")) {
        return AUTO;
      }
      Device device = DeviceName.read(node, at, expected());
      return device == null ? null : on(device);
    }

    private DeviceMap modules(Node.Fields fields, Reading at) {
      if (fields.fields().isEmpty()) {
        at.reject(fields, expected());
        return null;
      }
      Map<String, Device> modules = new LinkedHashMap<>();
      fields
          .fields()
          .forEach(
              (module, field) -> {
                Reading inner = at.child(module);
                inner.positions().put(inner.key(), field.keyAt());
                modules.put(module, DeviceName.read(field.value(), inner, DeviceName.EXPECTED));
              });
      return modules.containsValue(null) ? null : new DeviceMap(modules);
    }

    @Override
    public Object write(Object value) {
      DeviceMap map = (DeviceMap) value;
      if (map.isAuto()) {
        return "auto";
      }
      Device whole = map.modules.get(Placement.ALL);
      if (whole != null && map.modules.size() == 1) {
        return text(whole);
      }
      Map<String, Object> written = new LinkedHashMap<>();
      map.modules.forEach((module, device) -> written.put(module, text(device)));
      return written;
    }

    @Override
    public String expected() {
      return DEVICE + "] or a device for each module";
    }
  }
}
