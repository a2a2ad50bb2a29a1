package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.model.PlacementCheck;
import ai.nibble.model.WeightSource;
import ai.nibble.plan.Budget;
import ai.nibble.plan.DevicePlan;
import ai.nibble.plan.DeviceUse;
import ai.nibble.plan.Host;
import ai.nibble.plan.KeptLayers;
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
import java.util.SortedMap;
import java.util.TreeMap;

/** Over which devices a recipe's model is placed, by way of checkpointing. */
final class PlacedRecipe {
  private final Map<Checkpointing, DevicePlan> plans = new EnumMap<>(Checkpointing.class);

  /** Bytes of each layer whose weights stay dequantised, by where it would be. */
  private final Map<Device.Type, List<Long>> dequantized = new EnumMap<>(Device.Type.class);

  /** Layers that keep theirs whatever room there is. */
  private final int asked;

  /**
   * @param quantization of the linears
   * @param microBatch rows of a micro-batch
   * @param accumulation micro-batches of a step
   * @param asked layers that keep their weights dequantised
   */
  PlacedRecipe(
      Recipe recipe,
      PlannedRecipe planned,
      WeightSource source,
      Optional<QuantConfig> quantization,
      List<Room> rooms,
      int microBatch,
      int accumulation,
      int asked) {
    this.asked = asked;
    Map<Device.Type, PlannedRun> runs = new EnumMap<>(Device.Type.class);
    Map<Device.Type, PartSizes> sizes = new EnumMap<>(Device.Type.class);
    for (Room room : rooms) {
      PlannedRecipe there = planned.on(room.device().type());
      runs.computeIfAbsent(
          there.where(), type -> there.run(source, quantization, microBatch, accumulation));
      sizes.computeIfAbsent(there.where(), type -> there.parts(source, quantization));
    }
    runs.forEach((type, run) -> dequantized.put(type, run.dequantizedBytes()));
    for (Checkpointing mode : Checkpointing.values()) {
      Map<Device.Type, List<PartNeed>> needs = new EnumMap<>(Device.Type.class);
      runs.forEach(
          (type, run) -> {
            KeptLayers kept = KeptLayers.first(asked, dequantized.get(type));
            needs.put(type, PartNeeds.of(run, sizes.get(type), mode, kept));
          });
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

  /** Layers that keep their weights dequantised as was asked, with the bytes where they are. */
  KeptLayers kept(Checkpointing mode) {
    SortedMap<Integer, Long> bytes = new TreeMap<>();
    for (int i = 0; i < asked; i++) {
      int layer = i;
      Device.Type where =
          plan(mode)
              .placement()
              .map(placement -> placement.of(Placement.layer(layer)).type())
              .orElse(dequantized.keySet().iterator().next());
      bytes.put(layer, dequantized.get(where).get(layer));
    }
    return new KeptLayers(bytes);
  }

  /** Layers that could besides, as each device has room. */
  KeptLayers keptThatFit(Checkpointing mode) {
    return KeptLayers.thatFit(plan(mode), device -> dequantized.get(device.type()));
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
   * @param pretended GPUs that need not be here; 0: what is here
   * @throws InvalidInputException if the recipe names one that is not
   */
  static List<Device> devices(Recipe recipe, int pretended) {
    if (pretended == 0) {
      requireDevices(recipe);
      return devices(recipe);
    }
    List<Device> devices = new ArrayList<>();
    for (int i = 0; i < pretended; i++) {
      devices.add(new Device(Device.Type.CUDA, i));
    }
    if (recipe.maxMemory().bytes().containsKey(Device.CPU)) {
      devices.add(Device.CPU);
    }
    return devices;
  }

  /**
   * What a device has left, and may be taken of it.
   *
   * @param pretended bytes of GPUs that need not be here; empty: what is here
   */
  static Room room(Recipe recipe, List<Long> pretended, Device device) {
    if (!pretended.isEmpty() && !device.isCpu()) {
      Budget budget = Budget.pretended(pretended.get(device.index()));
      boolean only = pretended.size() == 1;
      return new Room(device, only ? budget : budget.named(device.toString()), Host.device());
    }
    Room room = Room.of(device);
    Long most = recipe.maxMemory().bytes().get(device);
    return most == null || !recipe.deviceMap().isAuto()
        ? room
        : new Room(device, room.budget().atMost(most), room.host());
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

  /** One line: what each device takes of what it has. */
  static String summary(DevicePlan plan) {
    return String.join("; ", plan.uses().stream().map(DeviceUse::summary).toList());
  }
}
