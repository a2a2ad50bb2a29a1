package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.nio.FloatBuffer;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Unified memory, by a driver that writes down what it is told. */
class PagesTest {
  private static final Device SECOND = new Device(Device.Type.CUDA, 1);

  private final RecordingCuda cuda = new RecordingCuda();
  private final CudaUnified memory = new CudaUnified(cuda, cuda::stream);

  @Test
  void itIsAllocatedMovedAndFreedInTheContextOfItsDevice() {
    cuda.current = 0xABC;
    long address = memory.allocate(SECOND, 1000);
    memory.prefetch(SECOND, address, 1000);
    memory.free(SECOND, address);
    assertEquals(
        List.of(
            "cuDevicePrimaryCtxRetain(101)",
            "cuCtxSetCurrent(c065)",
            "cuMemAllocManaged(1000, 1, context c065)",
            "cuCtxSetCurrent(abc)",
            "cuCtxSetCurrent(c065)",
            "cuMemPrefetchAsync(1000, device 101, stream 57af)",
            "cuCtxSetCurrent(abc)",
            "cuCtxSetCurrent(c065)",
            "cuMemFree(context c065)",
            "cuCtxSetCurrent(abc)"),
        cuda.calls);
    assertEquals(0, cuda.held());
  }

  @Test
  void aDeviceThatFaultsNoPagesInIsAskedForNothing() {
    long address = memory.allocate(SECOND, 1000);
    cuda.concurrentManagedAccess = 0;
    cuda.calls.clear();
    memory.prefetch(SECOND, address, 1000);
    assertEquals(List.of(), cuda.calls);
  }

  @Test
  void aFailedAllocationSaysHowMuchWasAskedFor() {
    cuda.failing.put("cuMemAllocManaged", 2);
    assertEquals(
        "cuMemAllocManaged of 3.20 GB for cuda:1: CUDA_ERROR_2 (reason 2)",
        assertThrows(TensorException.class, () -> memory.allocate(SECOND, 3_200_000_000L))
            .getMessage());
    assertEquals(0, cuda.held());
  }

  @Test
  void tensorsLieSideBySideAndHoldWhatIsWritten() {
    long bytes = Pages.bytesFor(DType.UINT8, 5) + Pages.bytesFor(DType.FLOAT32, 65);
    assertEquals(256 + 512, bytes);
    try (Pages pages = new Pages(memory, Device.CPU, bytes)) {
      try (Tensor codes = pages.take(DType.UINT8, 5);
          Tensor values = pages.take(DType.FLOAT32, 65)) {
        codes.zero();
        values.zero();
        assertEquals(256, values.address() - codes.address());
        values.setFloats(FloatBuffer.wrap(new float[65]).put(64, 7));
        assertEquals(7, values.toFloats()[64]);
        assertArrayEquals(new float[5], codes.toFloats());
        assertThrows(IllegalStateException.class, () -> pages.take(DType.UINT8, 1));
      }
      assertEquals(1, cuda.held());
    }
    assertEquals(0, cuda.held());
  }
}
