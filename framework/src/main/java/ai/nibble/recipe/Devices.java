package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.model.Placement;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.stream.IntStream;

/**
 * The devices that share a step's micro-batches ({@code devices}).
 *
 * @param count how many, at least 1
 * @param ordinals of GPUs, all different, as many; empty: from that of {@code device_map} on
 */
public record Devices(int count, List<Integer> ordinals) {
  private static final int MOST = 64;

  public Devices {
    ordinals = List.copyOf(ordinals);
  }

  /** Some that are not named. */
  static Devices of(int count) {
    return new Devices(count, List.of());
  }

  /** Whether the key says where the model is, each device having all of it. */
  boolean areChosen() {
    return count > 1 || !ordinals.isEmpty();
  }

  /**
   * Where each worker's model is: on a device of its own, or a single one's where it was planned.
   */
  static List<Placement> placements(Recipe recipe, RecipePlan plan) {
    return recipe.training().devices().areChosen()
        ? of(recipe).stream().map(Placement::on).toList()
        : List.of(plan.placement());
  }

  /**
   * The devices, the first worker's first.
   *
   * @param recipe whose {@code device_map} says of which kind they are
   * @throws InvalidInputException if they are not there
   */
  static List<Device> of(Recipe recipe) {
    recipe.deviceMap().requireDevices("device_map", key -> recipe.where(key) + ": '" + key + "'");
    Device first = recipe.deviceMap().first();
    Devices asked = recipe.training().devices();
    return asked.on(first, first.isCpu() ? 0 : Torch.cudaDeviceCount(), recipe.where("devices"));
  }

  /**
   * @param first what {@code device_map} means
   * @param gpus that there are
   * @param where the key stands, for messages
   */
  List<Device> on(Device first, int gpus, String where) {
    if (first.isCpu() && !ordinals.isEmpty()) {
      throw new InvalidInputException(
          where + ": 'devices' names GPUs " + ordinals + ", but the CPU computes: give a number");
    }
    if (first.isCpu()) {
      return IntStream.range(0, count).mapToObj(w -> Device.CPU).toList();
    }
    List<Device> devices = new ArrayList<>();
    for (int w = 0; w < count; w++) {
      int ordinal = ordinals.isEmpty() ? first.index() + w : ordinals.get(w);
      if (ordinal >= gpus) {
        throw new InvalidInputException(
            where
                + ": 'devices' asks for cuda:"
                + ordinal
                + ", but libtorch computes on "
                + gpus
                + (gpus == 1 ? " GPU" : " GPUs")
                + "; 'nibble doctor' shows them");
      }
      devices.add(new Device(Device.Type.CUDA, ordinal));
    }
    return devices;
  }

  /** Reads a number, or a list of ordinals, as {@code 1}, {@code cuda:1} or {@code gpu:1}. */
  record Type() implements ValueType {
    private static final ValueType COUNT =
        new ScalarTypes.Whole(Range.parse("[1, " + MOST + "]"), new int[0], false);

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Items items) {
        return readOrdinals(items, at);
      }
      if (!(node instanceof Node.Scalar scalar) || !scalar.kind().isNumber()) {
        at.reject(node, expected());
        return null;
      }
      Object count = COUNT.read(node, at);
      return count == null ? null : Devices.of((Integer) count);
    }

    private Object readOrdinals(Node.Items items, Reading at) {
      LinkedHashSet<Integer> ordinals = new LinkedHashSet<>();
      for (Node item : items.items()) {
        String text = item instanceof Node.Scalar scalar ? scalar.text() : "";
        if (!text.matches("((cuda|gpu):)?\\d{1,2}")) {
          at.reject(item, expected());
          return null;
        }
        if (!ordinals.add(Integer.valueOf(text.replaceFirst(".*:", "")))) {
          at.reject(item, "each GPU once");
          return null;
        }
      }
      if (ordinals.isEmpty()) {
        at.reject(items, expected());
        return null;
      }
      return new Devices(ordinals.size(), List.copyOf(ordinals));
    }

    @Override
    public Object write(Object value) {
      Devices devices = (Devices) value;
      return devices.ordinals.isEmpty()
          ? Integer.toString(devices.count)
          : devices.ordinals.stream().map(String::valueOf).toList();
    }

    @Override
    public String expected() {
      return "a number of devices from 1 to " + MOST + ", or GPUs as [0, 1]";
    }
  }
}
