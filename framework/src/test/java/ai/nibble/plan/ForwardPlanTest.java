package ai.nibble.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Placement;
import ai.nibble.model.RandomWeights;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Where a model of Llama-3-8B's shape goes that is to answer. */
class ForwardPlanTest {
  private static final long GIB = 1L << 30;

  private static Room room(Device device, double gib) {
    long bytes = (long) (gib * GIB);
    Host host = device.isCpu() ? Host.cpu(200 << 20) : Host.device();
    return new Room(device, new Budget(bytes, bytes, device.toString()), host);
  }

  private static DevicePlan plan(Optional<QuantConfig> held, Room... rooms) {
    Path base = Shared.root().resolve("bench/models/llama-3-8b");
    RandomWeights weights = RandomWeights.of(base, 0, notice -> {});
    return ForwardPlan.of(weights, held, DType.BFLOAT16, 2048, List.of(rooms));
  }

  /** 16 GB in 16 bits, 5.7 GB with linears in 4. */
  @Test
  void whatOneGpuHoldsIs() {
    Device gpu = new Device(Device.Type.CUDA, 0);
    Room cpu = room(Device.CPU, 64);
    DevicePlan whole = plan(Optional.empty(), room(gpu, 24), cpu);
    assertFalse(whole.placement().orElseThrow().isSplit());
    long weights = whole.uses().get(0).bytes().get(Component.WEIGHTS_DENSE);
    assertEquals(2 * 8.03e9, weights, 0.01 * weights);
    Optional<QuantConfig> nf4 = Optional.of(new Quant4Config(Quant4Type.NF4, 64, true));
    assertEquals(gpu, plan(nf4, room(gpu, 12), cpu).placement().orElseThrow().of(CausalLm.HEAD));
  }

  @Test
  void twoGpusShareWhatOneDoesNotHold() {
    Device first = new Device(Device.Type.CUDA, 0);
    Device second = new Device(Device.Type.CUDA, 1);
    DevicePlan plan =
        plan(Optional.empty(), room(first, 12), room(second, 12), room(Device.CPU, 64));
    assertTrue(plan.fits());
    assertFalse(plan.spills());
    List<Device> layers = new ArrayList<>();
    for (int i = 0; i < 32; i++) {
      layers.add(plan.placement().orElseThrow().of(Placement.layer(i)));
    }
    assertEquals(first, layers.get(0));
    assertEquals(second, layers.get(31));
    int boundary = layers.indexOf(second);
    assertEquals(List.of(second), layers.subList(boundary, 32).stream().distinct().toList());
    plan.uses().forEach(use -> assertTrue(1.1 * use.total() <= 12.0 * GIB, use.summary()));
  }

  /** A CPU that takes over computes in the GPUs' dtype, and every pass waits for it. */
  @Test
  void whatIsOnTheCpuIsSaid() {
    Device gpu = new Device(Device.Type.CUDA, 0);
    DevicePlan plan = plan(Optional.empty(), room(gpu, 12), room(Device.CPU, 64));
    assertTrue(plan.spills());
    Placement placement = plan.placement().orElseThrow();
    assertEquals(gpu, placement.computeDecider());
    List<String> notices = placement.notices(DType.BFLOAT16);
    assertEquals(1, notices.size());
    String line = notices.get(0);
    assertTrue(line.contains(" on the CPU: every pass waits for it"), line);
    assertTrue(line.contains("computes in bfloat16 as the GPUs do"), line);
    assertEquals(List.of(), Placement.on(gpu).notices(DType.BFLOAT16));
  }
}
