package ai.nibble.plan;

import ai.nibble.model.Placement;
import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;
import java.util.stream.IntStream;

/**
 * Which device each part of a model is placed on, and what that takes there.
 *
 * @param placement empty where the devices have not the room
 * @param uses of the devices that parts are on, in the devices' order; where there is no placement
 *     of those that were found room for
 * @param shortage one line that says what has no room; empty where all has
 */
public record DevicePlan(
    Optional<Placement> placement, List<DeviceUse> uses, Optional<String> shortage) {

  /**
   * Fills devices in order with parts in the order in which they are computed, so that a hidden
   * state moves on from a device once at most. A device that has room for all of them gets all,
   * unless it is the CPU. More memory never takes a part from a device.
   *
   * @param rooms in the order to fill them; the CPU, if any, last
   * @param needs of all parts, by where they would be
   * @param tied whether the head's weight is the embedding's: the last part is then where the first
   *     is, and the hidden state comes back to it
   */
  public static DevicePlan fill(
      List<Room> rooms, Function<Room, List<PartNeed>> needs, boolean tied) {
    if (rooms.isEmpty()) {
      throw new IllegalArgumentException("no device to place anything on");
    }
    Filling filling = new Filling(rooms, rooms.stream().map(needs).toList(), tied);
    return filling.alone().orElseGet(filling::inOrder);
  }

  /** What a given placement takes. */
  public static DevicePlan of(
      Placement placement, List<Room> rooms, Function<Room, List<PartNeed>> needs) {
    List<DeviceUse> uses = new ArrayList<>();
    for (Room room : rooms) {
      List<PartNeed> here =
          needs.apply(room).stream()
              .filter(part -> placement.of(largest(part)).equals(room.device()))
              .toList();
      if (!here.isEmpty()) {
        uses.add(DeviceUse.of(room, here));
      }
    }
    Optional<String> shortage =
        uses.stream()
            .filter(use -> !use.fits())
            .findFirst()
            .map(
                use ->
                    use.room().budget().place()
                        + " would have to hold "
                        + Sizes.text(use.total())
                        + " and has "
                        + Sizes.text(use.room().budget().available())
                        + " free");
    return new DevicePlan(Optional.of(placement), uses, shortage);
  }

  /** The module that most of a part's memory is of: the head rather than its norm. */
  private static String largest(PartNeed part) {
    return part.modules().get(part.modules().size() - 1);
  }

  /** The same with layers that keep their weights dequantised and have room for it. */
  public DevicePlan keeping(KeptLayers kept) {
    Map<Device, Long> bytes = kept.on(this);
    List<DeviceUse> more =
        uses.stream()
            .map(
                use -> {
                  Long own = bytes.get(use.room().device());
                  return own == null ? use : use.keeping(own);
                })
            .toList();
    return new DevicePlan(placement, more, shortage);
  }

  /** Whether all parts have room. */
  public boolean fits() {
    return placement.isPresent() && shortage.isEmpty();
  }

  /** Whether parts are on the CPU although there are other devices. */
  public boolean spills() {
    return uses.size() > 1 && uses.stream().anyMatch(use -> use.room().isLastResort());
  }

  /** The search for a placement. */
  private static final class Filling {
    private final List<Room> rooms;
    private final List<List<PartNeed>> needs;
    private final boolean tied;
    private final int parts;

    Filling(List<Room> rooms, List<List<PartNeed>> needs, boolean tied) {
      this.rooms = rooms;
      this.needs = needs;
      this.tied = tied;
      this.parts = needs.get(0).size();
    }

    Optional<DevicePlan> alone() {
      List<Integer> all = IntStream.range(0, parts).boxed().toList();
      for (int r = 0; r < rooms.size(); r++) {
        if (!rooms.get(r).isLastResort() && use(r, all).fits()) {
          return Optional.of(placed(Map.of(r, all)));
        }
      }
      return Optional.empty();
    }

    DevicePlan inOrder() {
      Map<Integer, List<Integer>> on = new LinkedHashMap<>();
      int r = 0;
      for (List<Integer> next : units()) {
        while (r < rooms.size() && !use(r, with(on.get(r), next)).fits()) {
          r++;
        }
        if (r == rooms.size()) {
          return new DevicePlan(Optional.empty(), uses(on), Optional.of(shortage(on, next)));
        }
        on.put(r, with(on.get(r), next));
      }
      return placed(on);
    }

    /** Parts that are placed together, in the order to place them. */
    private List<List<Integer>> units() {
      List<List<Integer>> units = new ArrayList<>();
      units.add(tied ? List.of(0, parts - 1) : List.of(0));
      for (int p = 1; p < (tied ? parts - 1 : parts); p++) {
        units.add(List.of(p));
      }
      return units;
    }

    private static List<Integer> with(List<Integer> before, List<Integer> next) {
      List<Integer> all = new ArrayList<>(before == null ? List.of() : before);
      all.addAll(next);
      return all.stream().sorted().toList();
    }

    private DeviceUse use(int room, List<Integer> indices) {
      return DeviceUse.of(
          rooms.get(room), indices.stream().map(p -> needs.get(room).get(p)).toList());
    }

    private List<DeviceUse> uses(Map<Integer, List<Integer>> on) {
      return on.entrySet().stream().map(e -> use(e.getKey(), e.getValue())).toList();
    }

    private DevicePlan placed(Map<Integer, List<Integer>> on) {
      Map<String, Device> modules = new LinkedHashMap<>();
      for (int p = 0; p < parts; p++) {
        int part = p;
        int room =
            on.entrySet().stream()
                .filter(e -> e.getValue().contains(part))
                .findFirst()
                .orElseThrow()
                .getKey();
        needs.get(room).get(p).modules().forEach(m -> modules.put(m, rooms.get(room).device()));
      }
      return new DevicePlan(Optional.of(new Placement(modules)), uses(on), Optional.empty());
    }

    private String shortage(Map<Integer, List<Integer>> on, List<Integer> next) {
      String what =
          String.join(
              " with ",
              next.stream().map(p -> String.join(" and ", needs.get(0).get(p).modules())).toList());
      List<String> free =
          rooms.stream()
              .map(r -> r.budget().place() + " has " + Sizes.text(r.budget().available()) + " free")
              .toList();
      boolean fitsAlone = IntStream.range(0, rooms.size()).anyMatch(r -> use(r, next).fits());
      long least =
          IntStream.range(0, rooms.size()).mapToLong(r -> use(r, next).total()).min().orElse(0);
      int placed = on.values().stream().mapToInt(List::size).sum();
      return fitsAlone
          ? what
              + " has no room behind the "
              + placed
              + " of "
              + parts
              + " parts of the model that are placed: "
              + String.join(", ", free)
          : what
              + " alone needs "
              + Sizes.text(least)
              + ", more than any device has: "
              + String.join(", ", free);
    }
  }
}
