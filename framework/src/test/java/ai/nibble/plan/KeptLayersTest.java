package ai.nibble.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Placement;
import ai.nibble.model.StepMemory;
import ai.nibble.tensor.Device;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;

/** How many layers keep their weights dequantised. */
class KeptLayersTest {
  private static final long MIB = 1 << 20;
  private static final List<Long> EACH = List.of(40 * MIB, 40 * MIB, 40 * MIB, 40 * MIB);

  /** 500 MiB while it loads, 300 while it trains, 350 while it evaluates, 200 while it saves. */
  private static final MemoryPlan RUN =
      new MemoryPlan(
          Map.of(
              Phase.LOAD, Map.of(Component.LOADING, 500 * MIB),
              Phase.TRAIN, Map.of(Component.ACTIVATIONS, 300 * MIB),
              Phase.EVALUATE, Map.of(Component.ACTIVATIONS, 350 * MIB),
              Phase.SAVE, Map.of(Component.SAVING, 200 * MIB),
              Phase.MERGE, Map.of(Component.LOADING, 900 * MIB)));

  private static Budget budget(double mebibytes) {
    long bytes = Math.round(mebibytes * MIB);
    return new Budget(bytes, 2 * bytes, "a GPU");
  }

  private static List<Integer> kept(double mebibytes) {
    return KeptLayers.thatFit(RUN, budget(mebibytes), EACH).layers();
  }

  /** A tenth more than is planned has to be free, as everywhere. */
  @Test
  void theFirstLayersThatFitBesideTheRunAreKept() {
    assertEquals(List.of(0, 1, 2), kept(1.1 * 500 + 0.01));
    assertEquals(List.of(), kept(1.1 * 500 - 0.01)); // loading alone takes that
    assertEquals(List.of(0, 1, 2), kept(1.1 * (350 + 160) - 0.01));
    assertEquals(List.of(0, 1, 2, 3), kept(1.1 * (350 + 160) + 0.01));
    assertEquals(List.of(0, 1, 2, 3), kept(10_000));
    assertEquals(List.of(), kept(10));
  }

  @Test
  void whatIsKeptIsThereFromTrainingOn() {
    KeptLayers kept = KeptLayers.first(3, EACH);
    assertEquals(120 * MIB, kept.total());
    MemoryPlan plan = RUN.keeping(kept.total());
    assertEquals(500 * MIB, plan.total(Phase.LOAD));
    assertEquals(420 * MIB, plan.total(Phase.TRAIN));
    assertEquals(470 * MIB, plan.total(Phase.EVALUATE));
    assertEquals(320 * MIB, plan.total(Phase.SAVE));
    assertEquals(900 * MIB, plan.total(Phase.MERGE));
    assertEquals(120 * MIB, plan.bytes(Phase.TRAIN, Component.KEPT_WEIGHTS));
    assertEquals(240 * MIB, plan.times(2).bytes(Phase.TRAIN, Component.KEPT_WEIGHTS));
    assertSame(RUN, RUN.keeping(0));
    assertEquals("model.layers.0 to model.layers.2", kept.modules());
  }

  /**
   * Of layers of other sizes, of runs and of memory that is drawn: never too much, never too few.
   */
  @Test
  void oneLayerMoreWouldNotFit() {
    Random random = new Random(3);
    int some = 0;
    for (int trial = 0; trial < 1000; trial++) {
      List<Long> each = random.longs(1 + random.nextInt(12), MIB, 80 * MIB).boxed().toList();
      Budget budget = budget(500 + random.nextInt(500));
      KeptLayers kept = KeptLayers.thatFit(RUN, budget, each);
      int count = kept.layers().size();
      assertTrue(kept.isEmpty() || budget.holds(RUN.keeping(kept.total()).peak()));
      if (count < each.size()) {
        assertTrue(!budget.holds(RUN.keeping(kept.total() + each.get(count)).peak()));
      }
      some += count > 0 && count < each.size() ? 1 : 0;
    }
    assertTrue(some > 300, some + " trials between none and all");
  }

  private static Room room(Device device, double mebibytes) {
    long bytes = Math.round(mebibytes * MIB);
    return new Room(device, new Budget(bytes, bytes, device.toString()), new Host(0, 0, 0));
  }

  private static PartNeed part(long held, String... modules) {
    return new PartNeed(
        List.of(modules),
        Map.of(Component.WEIGHTS_4BIT, held * MIB),
        List.of(new StepMemory.Part(0, 0, 0, Map.of())));
  }

  /** Two GPUs and the CPU: each GPU's own first layers, as it has room for; the CPU's never. */
  @Test
  void eachDeviceKeepsWhatItHasRoomForAndACpuNone() {
    List<PartNeed> parts = new ArrayList<>(List.of(part(20, CausalLm.EMBEDDING)));
    for (int i = 0; i < 6; i++) {
      parts.add(part(30, Placement.layer(i)));
    }
    parts.add(part(20, CausalLm.NORM, CausalLm.HEAD));
    Device first = new Device(Device.Type.CUDA, 0);
    Device second = new Device(Device.Type.CUDA, 1);
    Placement placement =
        new Placement(
            Map.of(
                Placement.ALL,
                Device.CPU,
                CausalLm.EMBEDDING,
                first,
                Placement.layer(0),
                first,
                Placement.layer(1),
                first,
                Placement.layer(2),
                second,
                Placement.layer(3),
                second));
    List<Room> rooms =
        List.of(
            room(first, 1.1 * (80 + 50) + 0.01),
            room(second, 1.1 * (60 + 100) + 0.01),
            room(Device.CPU, 100_000));
    DevicePlan plan = DevicePlan.of(placement, rooms, room -> parts);
    KeptLayers kept =
        KeptLayers.thatFit(
            plan, device -> Collections.nCopies(6, device.equals(first) ? 40 * MIB : 50 * MIB));
    assertEquals(Map.of(0, 40 * MIB, 2, 50 * MIB, 3, 50 * MIB), kept.bytes());
    DevicePlan with = plan.keeping(kept);
    assertTrue(with.fits());
    assertEquals(
        List.of(120L, 160L, 80L), with.uses().stream().map(use -> use.total() / MIB).toList());
    assertEquals(plan.placement(), with.placement());
    assertEquals("model.layers.0, model.layers.2 to model.layers.3", kept.modules());
  }
}
