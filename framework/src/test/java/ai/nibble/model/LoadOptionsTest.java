package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.nn.Precision;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Gpu;
import org.junit.jupiter.api.Test;

class LoadOptionsTest {
  private static final Device CUDA = new Device(Device.Type.CUDA, 0);
  private static final Gpu T4 = new Gpu(0, "Tesla T4", 75, 40, 16L << 30);
  private static final Gpu A100 = new Gpu(1, "NVIDIA A100", 80, 108, 40L << 30);

  @Test
  void bfloat16OnAGpuWithoutItIsRefused() {
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> LoadOptions.requireBfloat16(T4));
    assertEquals(
        "compute dtype is bfloat16, which cuda:0 (Tesla T4, 7.5) does not multiply, expected compute"
            + " capability 8.0 or more: compute in float16 (bnb_4bit_compute_dtype: float16, or"
            + " --compute-dtype float16) or on the CPU (device_map: cpu, or --device cpu)",
        e.getMessage());
    assertDoesNotThrow(() -> LoadOptions.requireBfloat16(A100));
  }

  @Test
  void theReasonNamesTheDtypeAndWhatMultipliesIt() {
    assertEquals(
        "compute dtype bfloat16: this CPU multiplies it (AMX or AVX512-BF16)",
        LoadOptions.autoReason(true));
    assertEquals(
        "compute dtype float32: this CPU has no bfloat16 instructions (AMX or AVX512-BF16)",
        LoadOptions.autoReason(false));
    assertEquals(
        "compute dtype bfloat16: cuda:1 (NVIDIA A100, 8.0) multiplies it",
        LoadOptions.autoReason(A100));
    assertEquals(
        "compute dtype float32: cuda:0 (Tesla T4, 7.5) does not multiply bfloat16 (it does"
            + " float16: bnb_4bit_compute_dtype: float16)",
        LoadOptions.autoReason(T4));
  }

  @Test
  void theReasonIsOfTheDtypeThatIsPicked() {
    String picked = "compute dtype " + LoadOptions.autoComputeDtype().torchName() + ": ";
    assertTrue(LoadOptions.autoReason().startsWith(picked), LoadOptions.autoReason());
    assertEquals(LoadOptions.autoReason(), LoadOptions.autoReason(Device.CPU));
  }

  /** No GPU is looked at for it, and nothing is widened there. */
  @Test
  void float32IsComputedOnAnyGpu() {
    LoadOptions options = LoadOptions.unquantized(DType.FLOAT32).on(CUDA);
    assertEquals(new Precision(DType.FLOAT32, DType.FLOAT32), options.precision());
  }
}
