package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.PlacementCheck;
import ai.nibble.model.WeightSource;
import ai.nibble.plan.Budget;
import ai.nibble.plan.DevicePlan;
import ai.nibble.plan.DeviceUse;
import ai.nibble.plan.Host;
import ai.nibble.plan.PartNeed;
import ai.nibble.plan.PartNeeds;
import ai.nibble.plan.PartSizes;
import ai.nibble.plan.PlannedRun;
import ai.nibble.plan.Room;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Over which devices a recipe's model is placed, by way of checkpointing. */
final class PlacedRecipe {
  private final Map<Checkpointing, DevicePlan> plans = new EnumMap<>(Checkpointing.class);

  /**
   * @param quantization of the linears
   * @param microBatch rows of a micro-batch
   * @param accumulation micro-batches of a step
   */
  PlacedRecipe(
      Recipe recipe,
      PlannedRecipe planned,
      WeightSource source,
      Optional<QuantConfig> quantization,
      List<Room> rooms,
      int microBatch,
      int accumulation) {
    Map<Device.Type, PlannedRun> runs = new EnumMap<>(Device.Type.class);
    Map<Device.Type, PartSizes> sizes = new EnumMap<>(Device.Type.class);
    for (Room room : rooms) {
      PlannedRecipe there = planned.on(room.device().type());
      runs.computeIfAbsent(
          there.where(), type -> there.run(source, quantization, microBatch, accumulation));
      sizes.computeIfAbsent(there.where(), type -> there.parts(source, quantization));
    }
    for (Checkpointing mode : Checkpointing.values()) {
      Map<Device.Type, List<PartNeed>> needs = new EnumMap<>(Device.Type.class);
      runs.forEach((type, run) -> needs.put(type, PartNeeds.of(run, sizes.get(type), mode)));
      plans.put(
          mode,
          recipe
              .deviceMap()
              .placement()
              .map(
                  p ->
                      DevicePlan.of(
                          PlacementCheck.complete(source.config(), p),
                          rooms,
                          room -> needs.get(room.device().type())))
              .orElseGet(
                  () ->
                      DevicePlan.fill(
                          rooms,
                          room -> needs.get(room.device().type()),
                          source.config().tieWordEmbeddings())));
    }
  }

  /** The plan with a way of checkpointing. */
  DevicePlan plan(Checkpointing mode) {
    return plans.get(mode);
  }

  /**
   * The first way of checkpointing with which the CPU is left out; else the last, with which it
   * gets least.
   */
  Checkpointing checkpointing() {
    for (Checkpointing mode : Checkpointing.values()) {
      if (plans.get(mode).fits() && !plans.get(mode).spills()) {
        return mode;
      }
    }
    return Checkpointing.BLOCK;
  }

  /**
   * The devices that a run may take, in their order.
   *
   * @param pretended bytes of GPUs that need not be here; empty: what is here
   * @throws InvalidInputException if the recipe names one that is not
   */
  static List<Room> rooms(Recipe recipe, List<Long> pretended) {
    MaxMemory most = recipe.maxMemory();
    List<Room> rooms = new ArrayList<>();
    for (int i = 0; i < pretended.size(); i++) {
      Device device = new Device(Device.Type.CUDA, i);
      Budget budget = Budget.pretended(pretended.get(i));
      rooms.add(
          new Room(
              device,
              pretended.size() == 1 ? budget : budget.named(device.toString()),
              Host.device()));
    }
    if (!pretended.isEmpty()) {
      if (most.bytes().containsKey(Device.CPU)) {
        rooms.add(room(Device.CPU, most));
      }
      return rooms;
    }
    requireDevices(recipe);
    devices(recipe).forEach(device -> rooms.add(room(device, most)));
    return rooms;
  }

  private static void requireDevices(Recipe recipe) {
    recipe.deviceMap().requireDevices("device_map", key -> recipe.where(key) + ": '" + key + "'");
    if (!recipe.deviceMap().isAuto()) {
      return;
    }
    for (Device device : recipe.maxMemory().bytes().keySet()) {
      String key = "max_memory." + device;
      LoadOptions.missing(device)
          .ifPresent(
              why -> {
                throw new InvalidInputException(
                    recipe.where("max_memory") + ": '" + key + "' is for no device here: " + why);
              });
    }
  }

  /** GPUs in their order, then pretended devices, then the CPU. */
  private static List<Device> devices(Recipe recipe) {
    if (!recipe.deviceMap().isAuto()) {
      return recipe.deviceMap().modules().values().stream().distinct().toList();
    }
    List<Device> devices = new ArrayList<>(recipe.maxMemory().bytes().keySet());
    if (devices.isEmpty()) {
      devices.addAll(LoadOptions.gpus());
      devices.add(Device.CPU);
    }
    devices.sort(
        Comparator.comparing((Device device) -> device.equals(Device.CPU))
            .thenComparing(Device::isCpu)
            .thenComparingInt(Device::index));
    return devices;
  }

  private static Room room(Device device, MaxMemory most) {
    Room room = Room.of(device);
    Long bytes = most.bytes().get(device);
    return bytes == null ? room : new Room(device, room.budget().atMost(bytes), room.host());
  }

  /** One line: what each device takes of what it has. */
  String summary(Checkpointing mode) {
    return String.join("; ", plan(mode).uses().stream().map(DeviceUse::summary).toList());
  }
}
