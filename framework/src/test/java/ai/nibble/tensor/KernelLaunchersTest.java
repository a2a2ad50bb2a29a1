package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class KernelLaunchersTest {
  private static final CudaProgram AXPY = CudaProgram.of(KernelLaunchersTest.class, "axpy.cu");
  private static final Device GPU = new Device(Device.Type.CUDA, 0);

  private final List<String> launched = new ArrayList<>();

  private KernelLaunchers.Installation install() {
    return KernelLaunchers.install(
        Device.Type.CPU,
        (program, kernel, device, grid, arguments) ->
            launched.add(
                program + " " + kernel + " " + device + " " + grid + Arrays.toString(arguments)));
  }

  private static String refused(Device device, Object... arguments) {
    Grid grid = Grid.of(1, 32);
    return assertThrows(
            TensorException.class, () -> AXPY.launch("axpy_f32", device, grid, arguments))
        .getMessage();
  }

  @Test
  void anInstalledLauncherServesItsDeviceUntilItIsClosed() {
    assertFalse(KernelLaunchers.serves(Device.CPU));
    KernelLaunchers.Installation installation = install();
    try (Tensor x = Tensor.zeros(DType.FLOAT32, 3)) {
      assertTrue(KernelLaunchers.serves(Device.CPU));
      AXPY.launch("axpy_f32", Device.CPU, Grid.of(2, 32), x, null, 1, 2L, 0.5f, 0.25);
    } finally {
      installation.close();
    }
    assertEquals(
        List.of(
            "axpy.cu axpy_f32 cpu 2x1x1 blocks of 32 threads, 0 shared bytes"
                + "[float32[3], null, 1, 2, 0.5, 0.25]"),
        launched);
    assertFalse(KernelLaunchers.serves(Device.CPU));
    assertEquals(
        "no CUDA kernel can run on cpu: 'nibble doctor' says what is missing",
        refused(Device.CPU, 1));
  }

  @Test
  void aSecondLauncherForTheSameDevicesIsRefused() {
    KernelLaunchers.Installation installation = install();
    try {
      assertThrows(IllegalStateException.class, this::install);
    } finally {
      installation.close();
    }
  }

  @Test
  void aGridWithoutBlocksLaunchesNothing() {
    KernelLaunchers.Installation installation = install();
    try {
      AXPY.launch("axpy_f32", Device.CPU, Grid.covering(0, 256, 256), 1L);
    } finally {
      installation.close();
    }
    assertEquals(List.of(), launched);
  }

  @Test
  void anArgumentOfAnotherTypeOrDeviceIsRefused() {
    assertEquals(
        "kernel axpy_f32: argument 1 is a Short, expected Tensor, Integer, Long, Float, Double or"
            + " null",
        refused(Device.CPU, 1, (short) 2));
    try (Tensor x = Tensor.zeros(DType.FLOAT32, 3)) {
      assertEquals(
          "kernel axpy_f32: argument 0 is float32[3], expected on cuda:0", refused(GPU, x));
    }
  }

  @Test
  void aMissingResourceIsRefused() {
    IllegalArgumentException e =
        assertThrows(
            IllegalArgumentException.class,
            () -> CudaProgram.of(KernelLaunchersTest.class, "axpy.cu", "absent.cu"));
    assertEquals(
        "no resource 'absent.cu' beside ai.nibble.tensor.KernelLaunchersTest", e.getMessage());
  }

  @Test
  void sourcesAreJoinedInOrderAndKeepTheirLineNumbers() {
    CudaProgram both = CudaProgram.of(KernelLaunchersTest.class, "axpy.cu", "wrong.cu");
    assertEquals("wrong.cu", both.name());
    assertTrue(both.source().startsWith("#line 1 \"axpy.cu\"\nextern"), both.source());
    assertTrue(both.source().contains("}\n\n#line 1 \"wrong.cu\"\nextern"), both.source());
  }

  @Test
  void aGridCoversElementsWithWholeBlocks() {
    assertEquals(1, Grid.covering(1, 256, 256).blocksX());
    assertEquals(1, Grid.covering(256, 256, 256).blocksX());
    assertEquals(2, Grid.covering(257, 256, 256).blocksX());
    assertEquals(1L << 30, Grid.covering(1L << 40, 1024, 256).blocksX());
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> Grid.covering(1L << 40, 256, 256));
    assertEquals("grid: blocksX is 4294967296, expected 0 to 2147483647", e.getMessage());
    assertThrows(IllegalArgumentException.class, () -> Grid.of(1, 1025));
    assertThrows(IllegalArgumentException.class, () -> Grid.of(1, 0));
    assertThrows(IllegalArgumentException.class, () -> Grid.of(1, 65536, 32));
    assertThrows(IllegalArgumentException.class, () -> Grid.of(1, 32).withSharedBytes(-1));
  }
}
