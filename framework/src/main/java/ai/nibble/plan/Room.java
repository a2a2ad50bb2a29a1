package ai.nibble.plan;

import ai.nibble.tensor.Device;
import ai.nibble.train.log.ProcessMemory;

/**
 * A device that parts of a model may be placed on.
 *
 * @param budget the memory that there is for them
 * @param host what computing takes there besides, and how memory lies
 */
public record Room(Device device, Budget budget, Host host) {
  /** What a device of this machine has left. */
  public static Room of(Device device) {
    if (!device.isCpu()) {
      return new Room(device, Budget.of(device), Host.device());
    }
    return device.equals(Device.CPU)
        ? new Room(device, Budget.ofMachine(), Host.cpu(ProcessMemory.residentBytes()))
        : new Room(device, Budget.ofMachine().named(device.toString()), Host.pretended());
  }

  /** Whether it is the CPU itself, where parts go that no other device has room for. */
  boolean isLastResort() {
    return device.equals(Device.CPU);
  }
}
