package ai.nibble.recipe;

import ai.nibble.plan.Sizes;
import ai.nibble.tensor.Device;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * The most memory that a model may take of each device ({@code max_memory}).
 *
 * @param bytes by device; empty: what each has free
 */
public record MaxMemory(Map<Device, Long> bytes) {
  /** All that is free, of all devices. */
  public static final MaxMemory ALL = new MaxMemory(Map.of());

  public MaxMemory {
    bytes = Collections.unmodifiableMap(new LinkedHashMap<>(bytes));
  }

  /** Reads a map from devices to sizes. */
  record Type() implements ValueType {
    private static final String SIZE = "a size such as 20GiB";

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar && scalar.kind() == ScalarKind.NULL) {
        return ALL;
      }
      if (!(node instanceof Node.Fields fields)) {
        at.reject(node, expected());
        return null;
      }
      Map<Device, Long> bytes = new LinkedHashMap<>();
      boolean[] whole = {true};
      fields
          .fields()
          .forEach(
              (name, field) -> {
                Reading inner = at.child(name);
                inner.positions().put(inner.key(), field.keyAt());
                Optional<Device> device = device(name, field, inner);
                OptionalLong size = size(field.value(), inner);
                whole[0] &= device.isPresent() && size.isPresent();
                if (device.isPresent()
                    && size.isPresent()
                    && bytes.put(device.get(), size.getAsLong()) != null) {
                  inner
                      .problems()
                      .add(
                          field.keyAt(),
                          "'" + inner.shownKey() + "' names a device a second time: remove one");
                  whole[0] = false;
                }
              });
      return whole[0] ? new MaxMemory(bytes) : null;
    }

    private static Optional<Device> device(String name, Node.Field field, Reading at) {
      Optional<Device> device = DeviceName.parse(name);
      if (device.isEmpty()) {
        String why =
            DeviceName.refusal(name)
                .orElse(
                    "which is no device, expected "
                        + DeviceName.EXPECTED
                        + NearestName.hint(name, DeviceName.WORDS));
        at.problems()
            .add(
                field.keyAt(),
                "'" + at.shownKey() + "' is for '" + Problems.shown(name) + "', " + why);
      }
      return device;
    }

    private static OptionalLong size(Node node, Reading at) {
      OptionalLong size =
          node instanceof Node.Scalar scalar ? Sizes.parse(scalar.text()) : OptionalLong.empty();
      if (size.isEmpty()) {
        at.reject(node, SIZE);
      }
      return size;
    }

    @Override
    public Object write(Object value) {
      Map<String, Object> written = new LinkedHashMap<>();
      ((MaxMemory) value)
          .bytes.forEach((device, bytes) -> written.put(device.toString(), bytes.toString()));
      return written;
    }

    @Override
    public String expected() {
      return "a map from device (" + DeviceName.EXPECTED + ") to " + SIZE;
    }
  }
}
