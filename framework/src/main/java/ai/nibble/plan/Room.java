package ai.nibble.plan;

import ai.nibble.tensor.Device;

/**
 * A device that parts of a model may be placed on.
 *
 * @param budget the memory that there is for them
 * @param host what computing takes there besides, and how memory lies
 */
public record Room(Device device, Budget budget, Host host) {
  /** Whether it is the CPU itself, where parts go that no other device has room for. */
  boolean isLastResort() {
    return device.equals(Device.CPU);
  }
}
