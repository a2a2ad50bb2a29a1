package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

/** What the engine is set to. */
class TorchTest {
  @Test
  void float32ProductsAreOfFloat32() {
    assertFalse(Torch.allowsTf32());
  }

  @Test
  void determinismIsOnDuringACallOnlyEvenIfItFails() {
    assertFalse(Determinism.isOn());
    assertEquals(7, Determinism.during(() -> Determinism.isOn() ? 7 : 0));
    assertFalse(Determinism.isOn());
    assertThrows(
        TensorException.class,
        () ->
            Determinism.during(
                () -> {
                  throw new TensorException("x");
                }));
    assertFalse(Determinism.isOn());
  }

  @Test
  void aDeviceThatTheDriverDoesNotShowIsRefused() {
    assertThrows(TensorException.class, () -> Torch.gpu(Device.CPU));
    assertThrows(TensorException.class, () -> Torch.gpu(new Device(Device.Type.CUDA, 99)));
  }
}
