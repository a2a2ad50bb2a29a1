package ai.nibble.plan;

import ai.nibble.generate.WeightMemory;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import ai.nibble.train.log.ProcessMemory;
import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;

/**
 * The memory that there is for a run.
 *
 * @param available bytes that it can have now, those that this process holds among them
 * @param total bytes that there are
 * @param place in words: {@code this machine}, {@code cuda:0 (NVIDIA H100)}
 */
public record Budget(long available, long total, String place) {
  /** A plan is off by up to a tenth: docs/plan.md. */
  private static final double MARGIN = 1.1;

  /** What this machine's main memory, or the container's share of it, has left. */
  public static Budget ofMachine() {
    OperatingSystemMXBean system = ManagementFactory.getPlatformMXBean(OperatingSystemMXBean.class);
    long free = WeightMemory.available() + ProcessMemory.residentBytes();
    long total = system.getTotalMemorySize(); // of the container, where there is one
    return new Budget(Math.min(free, total), total, "this machine");
  }

  /** What a GPU has left. */
  public static Budget of(Device gpu) {
    String name = gpu + " (" + Torch.gpu(gpu).name() + ")";
    return new Budget(Torch.freeBytes(gpu), Torch.gpu(gpu).totalBytes(), name);
  }

  /** A GPU that is not here. */
  public static Budget pretended(long bytes) {
    return new Budget(bytes, bytes, "a GPU of that size");
  }

  /** At most so many bytes of it. */
  public Budget atMost(long bytes) {
    return new Budget(Math.min(available, bytes), Math.min(total, bytes), place);
  }

  /** The same by another name. */
  public Budget named(String name) {
    return new Budget(available, total, name);
  }

  /** Whether it is enough, with what the plan may be off by. */
  public boolean holds(long bytes) {
    return bytes * MARGIN <= available;
  }

  /** Whether so much can never be had here, whatever the plan is off by. */
  public boolean neverHolds(long bytes) {
    return bytes > total * MARGIN;
  }
}
