package ai.nibble.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Placement;
import ai.nibble.model.StepMemory;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** Where the parts of a model go, on pretended devices. */
class DevicePlanTest {
  private static final long MIB = 1 << 20;
  private static final int LAYERS = 8;

  private static Device gpu(int index) {
    return new Device(Device.Type.CUDA, index);
  }

  private static Room room(Device device, double mebibytes) {
    long bytes = Math.round(mebibytes * MIB);
    return new Room(
        device, new Budget(bytes, bytes, device.toString()), new Host(10 * MIB, 0.1, 0.5));
  }

  /** Room for so many MiB of parts, beside what a process takes and what a plan may be off by. */
  private static Room roomFor(Device device, double mebibytes) {
    return room(device, 1.1 * (mebibytes + 10) + 0.01);
  }

  private static PartNeed part(long held, long kept, long moment, String... modules) {
    return new PartNeed(
        List.of(modules),
        Map.of(Component.WEIGHTS_4BIT, held * MIB),
        List.of(
            new StepMemory.Part(kept * MIB, moment * MIB, 0, Map.of(Purpose.WEIGHT, moment * MIB)),
            new StepMemory.Part(0, moment * MIB, 0, Map.of())));
  }

  /** An embedding of 30 MiB, layers of 40 that keep 10 and hold 20 for a moment, a head of 50. */
  private static List<PartNeed> parts(int layers) {
    List<PartNeed> parts = new ArrayList<>(List.of(part(30, 0, 10, CausalLm.EMBEDDING)));
    for (int i = 0; i < layers; i++) {
      parts.add(part(40, 10, 20, Placement.layer(i)));
    }
    parts.add(part(50, 0, 40, CausalLm.NORM, CausalLm.HEAD));
    return parts;
  }

  private static DevicePlan fill(boolean tied, Room... rooms) {
    return DevicePlan.fill(List.of(rooms), room -> parts(LAYERS), tied);
  }

  private static List<Integer> layers(DevicePlan plan, Room... rooms) {
    Placement placement = plan.placement().orElseThrow();
    List<Integer> counts = new ArrayList<>();
    for (Room room : rooms) {
      int count = 0;
      for (int i = 0; i < LAYERS; i++) {
        count += placement.of(Placement.layer(i)).equals(room.device()) ? 1 : 0;
      }
      counts.add(count);
    }
    return counts;
  }

  /** 30 + 8·40 + 50 held, 1.1·(8·10 + 40) in a pass, 40 of buffers. */
  @Test
  void aDeviceThatHoldsAllGetsAll() {
    Room exact = roomFor(gpu(0), 400 + 1.1 * 120 + 40);
    DevicePlan plan = fill(false, exact, roomFor(gpu(1), 1000));
    assertEquals(List.of(8), layers(plan, exact));
    assertEquals(572 + 10, plan.uses().get(0).total() / MIB);
    assertFalse(plan.placement().orElseThrow().isSplit());

    Room little = room(gpu(0), 1.1 * 582 - 1);
    Room second = roomFor(gpu(1), 1000);
    assertEquals(List.of(0, 8), layers(fill(false, little, second), little, second));
  }

  /** The CPU is not preferred to what is faster, however large it is. */
  @Test
  void whatAGpuHasNoRoomForGoesToTheCpu() {
    Room first = roomFor(gpu(0), 30 + 3 * 40 + 1.1 * (3 * 10 + 20) + 20);
    Room cpu = roomFor(Device.CPU, 100_000);
    DevicePlan plan = fill(false, first, cpu);
    assertTrue(plan.fits());
    assertTrue(plan.spills());
    assertEquals(List.of(3, 5), layers(plan, first, cpu));
    Placement placement = plan.placement().orElseThrow();
    assertEquals(gpu(0), placement.of(CausalLm.EMBEDDING));
    assertEquals(Device.CPU, placement.of(CausalLm.HEAD));
    assertEquals(Device.CPU, placement.of(CausalLm.NORM));
  }

  @Test
  void twoEqualDevicesAreFilledOneAfterTheOther() {
    Room first = roomFor(gpu(0), 350);
    Room second = roomFor(gpu(1), 350);
    DevicePlan plan = fill(false, first, second);
    // 30 + 5·40 + 1.1·(5·10 + 20) + 20 = 327 and 3·40 + 50 + 1.1·(3·10 + 40) + 40 = 287
    assertEquals(List.of(5, 3), layers(plan, first, second));
    assertEquals(List.of(337L, 297L), plan.uses().stream().map(u -> u.total() / MIB).toList());
  }

  /** The head that is the embedding stays with it, and what is left there is for layers. */
  @Test
  void aTiedHeadStaysWithTheEmbedding() {
    Room first = roomFor(gpu(0), 350);
    Room second = roomFor(gpu(1), 350);
    DevicePlan plan = fill(true, first, second);
    Placement placement = plan.placement().orElseThrow();
    assertEquals(placement.of(CausalLm.EMBEDDING), placement.of(CausalLm.HEAD));
    assertEquals(placement.of(CausalLm.EMBEDDING), placement.of(CausalLm.NORM));
    // 80 + 3·40 + 1.1·(3·10 + 40) + 40 = 317
    assertEquals(List.of(3, 5), layers(plan, first, second));
  }

  @Test
  void aFirstDeviceThatHoldsNothingIsLeftOut() {
    Room tiny = room(gpu(0), 30);
    Room second = roomFor(gpu(1), 350);
    Room third = roomFor(gpu(2), 350);
    DevicePlan plan = fill(false, tiny, second, third);
    assertEquals(List.of(0, 5, 3), layers(plan, tiny, second, third));
    assertEquals(gpu(1), plan.placement().orElseThrow().of(CausalLm.EMBEDDING));
    assertEquals(2, plan.uses().size());
  }

  @Test
  void aLayerLargerThanEveryDeviceIsOneClearLine() {
    List<PartNeed> parts = parts(2);
    parts.set(2, part(900, 0, 0, Placement.layer(1)));
    DevicePlan plan =
        DevicePlan.fill(List.of(room(gpu(0), 600), room(Device.CPU, 800)), room -> parts, false);
    assertEquals(Optional.empty(), plan.placement());
    assertEquals(
        Optional.of(
            "model.layers.1 alone needs 910 MiB, more than any device has: cuda:0 has 600 MiB free,"
                + " cpu has 800 MiB free"),
        plan.shortage());
    assertFalse(plan.fits());
  }

  @Test
  void whatHasNoRoomIsSaid() {
    DevicePlan plan = fill(false, roomFor(gpu(0), 200), roomFor(Device.CPU, 200));
    assertEquals(
        "model.layers.5 has no room behind the 6 of 10 parts of the model that are placed: cuda:0"
            + " has 231 MiB free, cpu has 231 MiB free",
        plan.shortage().orElseThrow());
    DevicePlan tied = fill(true, room(gpu(0), 100));
    assertEquals(
        "model.embed_tokens with model.norm and lm_head alone needs 174 MiB, more than any device"
            + " has: cuda:0 has 100 MiB free",
        tied.shortage().orElseThrow());
  }

  /** Of a placement that was asked for, not found. */
  @Test
  void whatAPlacementTakesIsHeldAgainstWhatThereIs() {
    Placement all = Placement.on(gpu(0));
    DevicePlan fits = DevicePlan.of(all, List.of(roomFor(gpu(0), 572)), room -> parts(LAYERS));
    assertTrue(fits.fits());
    DevicePlan not = DevicePlan.of(all, List.of(room(gpu(0), 500)), room -> parts(LAYERS));
    assertFalse(not.fits());
    assertEquals(
        "cuda:0 would have to hold 582 MiB and has 500 MiB free", not.shortage().orElseThrow());
  }

  /** Of random models on random devices, many of them too small. */
  @Test
  void everyPlacementKeepsWhatItPromises() {
    Random random = new Random(11);
    int placed = 0;
    for (int trial = 0; trial < 2000; trial++) {
      boolean tied = random.nextBoolean();
      List<PartNeed> parts = randomParts(random);
      List<Room> rooms = randomRooms(random);
      DevicePlan plan = DevicePlan.fill(rooms, room -> parts, tied);
      if (plan.placement().isEmpty()) {
        continue;
      }
      placed++;
      Placement placement = plan.placement().get();
      for (DeviceUse use : plan.uses()) {
        assertTrue(use.total() * 1.1 <= use.room().budget().available());
        assertFalse(use.modules().isEmpty());
      }
      assertEquals(
          parts.stream().mapToInt(p -> p.modules().size()).sum(),
          plan.uses().stream().mapToInt(u -> u.modules().size()).sum());
      assertCrossings(parts, placement, tied, plan.uses().size());
    }
    assertTrue(placed > 500, placed + " placed");
  }

  private static void assertCrossings(
      List<PartNeed> parts, Placement placement, boolean tied, int devices) {
    int crossings = 0;
    for (int p = 1; p < parts.size(); p++) {
      Device before = placement.of(parts.get(p - 1).modules().get(0));
      crossings += before.equals(placement.of(parts.get(p).modules().get(0))) ? 0 : 1;
    }
    int back = tied && devices > 1 ? 1 : 0;
    assertEquals(devices - 1 + back, crossings);
  }

  @Test
  void moreMemoryNeverPlacesFewerLayersThere() {
    Random random = new Random(12);
    int grown = 0;
    for (int trial = 0; trial < 2000; trial++) {
      boolean tied = random.nextBoolean();
      List<PartNeed> parts = randomParts(random);
      List<Room> rooms = randomRooms(random);
      int larger = random.nextInt(rooms.size());
      List<Room> more = new ArrayList<>(rooms);
      long available = rooms.get(larger).budget().available();
      more.set(
          larger, room(rooms.get(larger).device(), available / (double) MIB + random.nextInt(200)));
      DevicePlan before = DevicePlan.fill(rooms, room -> parts, tied);
      DevicePlan after = DevicePlan.fill(more, room -> parts, tied);
      if (before.placement().isEmpty()) {
        continue;
      }
      assertTrue(after.placement().isPresent());
      Device device = rooms.get(larger).device();
      int had = count(before, device);
      int has = count(after, device);
      assertTrue(has >= had, had + " parts, with more memory " + has);
      grown += has > had ? 1 : 0;
    }
    assertTrue(grown > 100, grown + " grown");
  }

  private static int count(DevicePlan plan, Device device) {
    return plan.uses().stream()
        .filter(use -> use.room().device().equals(device))
        .mapToInt(use -> use.modules().size())
        .sum();
  }

  private static List<PartNeed> randomParts(Random random) {
    List<PartNeed> parts = new ArrayList<>();
    parts.add(part(random.nextInt(50), 0, random.nextInt(20), CausalLm.EMBEDDING));
    int layers = 1 + random.nextInt(12);
    for (int i = 0; i < layers; i++) {
      parts.add(
          part(1 + random.nextInt(60), random.nextInt(20), random.nextInt(40), Placement.layer(i)));
    }
    parts.add(part(random.nextInt(50), 0, random.nextInt(90), CausalLm.NORM, CausalLm.HEAD));
    return parts;
  }

  private static List<Room> randomRooms(Random random) {
    List<Room> rooms = new ArrayList<>();
    int gpus = random.nextInt(4);
    for (int i = 0; i < gpus; i++) {
      rooms.add(room(gpu(i), random.nextInt(500)));
    }
    if (gpus == 0 || random.nextBoolean()) {
      rooms.add(room(Device.CPU, random.nextInt(1000)));
    }
    return rooms;
  }
}
