package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;

/**
 * Where tests against golden values compute: the CPU, or with {@code -Dnibble.device=gpu} the first
 * GPU, within the same tolerances.
 */
public final class TestDevice {
  private static final String PROPERTY = "nibble.device";

  private TestDevice() {}

  public static Device chosen() {
    String asked = System.getProperty(PROPERTY, "cpu");
    assertTrue(asked.equals("cpu") || asked.equals("gpu"), PROPERTY + " is " + asked);
    if (asked.equals("cpu")) {
      return Device.CPU;
    }
    Device gpu = LoadOptions.autoDevice();
    assertFalse(gpu.isCpu(), PROPERTY + " is gpu, but there is none; 'nibble doctor' says why");
    assertFalse(Torch.allowsTf32(), "products of float32 are of TF32, which is no float32");
    return gpu;
  }
}
