package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;

/** Launches against a driver that writes down what it is told. */
class CudaDriverTest {
  private static final Device GPU = new Device(Device.Type.CUDA, 0);
  private static final Device SECOND = new Device(Device.Type.CUDA, 1);
  private static final CudaProgram AXPY = CudaProgram.of(CudaDriverTest.class, "axpy.cu");
  private static final long CONTEXT = 0xC000 + 100;

  private final RecordingCuda cuda = new RecordingCuda();
  private final FakeCompiler compiler = new FakeCompiler();
  private final CudaDriver driver = new CudaDriver(cuda, cuda::stream, compiler);

  private void launch(Grid grid, Object... arguments) {
    driver.launch(AXPY, "axpy_f32", GPU, grid, arguments);
  }

  private String refused(Grid grid, Object... arguments) {
    return assertThrows(TensorException.class, () -> launch(grid, arguments)).getMessage();
  }

  private ByteBuffer argument(int index) {
    return ByteBuffer.wrap(cuda.arguments.get(index)).order(ByteOrder.LITTLE_ENDIAN);
  }

  @Test
  void eachKindOfArgumentReachesTheKernelByteByByte() {
    try (Tensor whole = Tensor.zeros(DType.FLOAT32, 10);
        Tensor view = whole.narrow(0, 3, 4)) {
      cuda.parameterSizes = new int[] {8, 8, 8, 4, 8, 4, 8};
      launch(Grid.of(1, 32), whole, view, null, -2, -3L, 0.1f, 0.1);
      assertEquals(whole.address(), argument(0).getLong());
      assertEquals(whole.address() + 3 * Float.BYTES, argument(1).getLong());
      assertEquals(0L, argument(2).getLong());
      assertArrayEquals(new byte[] {-2, -1, -1, -1}, cuda.arguments.get(3));
      assertArrayEquals(new byte[] {-3, -1, -1, -1, -1, -1, -1, -1}, cuda.arguments.get(4));
      // 0.1 is 0x3DCCCCCD and 0x3FB999999999999A (IEEE 754)
      assertEquals(0x3DCCCCCD, argument(5).getInt());
      assertEquals(0x3FB999999999999AL, argument(6).getLong());
    }
  }

  @Test
  void whatAnEarlierLaunchPassedDoesNotShowInTheNext() {
    cuda.parameterSizes = new int[] {8, 4};
    launch(Grid.of(1, 32), -1L, -1);
    launch(Grid.of(1, 32), 5L, 7);
    assertEquals(5L, argument(0).getLong());
    assertEquals(7, argument(1).getInt());
    launch(Grid.of(1, 32), null, 0f);
    assertEquals(0L, argument(0).getLong());
    assertEquals(0, argument(1).getInt());
  }

  @Test
  void gridSharedMemoryAndStreamArePassedOn() {
    cuda.current = CONTEXT;
    launch(new Grid(70000, 4, 5, 192, 1024));
    assertEquals(
        "cuLaunchKernel(f000, 70000 4 5, 192 1 1, 1024, stream 57ae, context c064, extra 0)",
        cuda.calls.get(cuda.calls.size() - 1));
  }

  @Test
  void theThreadGetsItsContextBack() {
    cuda.current = 0xABC;
    launch(Grid.of(1, 32));
    assertEquals(
        List.of(
            "cuDevicePrimaryCtxRetain(100)",
            "cuCtxSetCurrent(c064)",
            "cuModuleLoadData(context c064)",
            "cuModuleGetFunction(axpy_f32)",
            "cuLaunchKernel(f000, 1 1 1, 32 1 1, 0, stream 57ae, context c064, extra 0)",
            "cuCtxSetCurrent(abc)"),
        cuda.calls);
  }

  @Test
  void theThreadGetsItsContextBackAfterAFailureToo() {
    cuda.current = 0xABC;
    cuda.failing.put("cuLaunchKernel", 1);
    refused(Grid.of(1, 32));
    assertEquals(0xABC, cuda.current);
  }

  @Test
  void theContextOfTheDeviceIsLeftAsItIs() {
    cuda.current = CONTEXT;
    launch(Grid.of(1, 32));
    assertTrue(
        cuda.calls.stream().noneMatch(c -> c.startsWith("cuCtxSetCurrent")), "" + cuda.calls);
  }

  @Test
  void aProgramIsCompiledAndLoadedOnceForADevice() {
    for (int i = 0; i < 3; i++) {
      launch(Grid.of(1, 32));
      driver.launch(AXPY, "other_f32", GPU, Grid.of(1, 32), new Object[0]);
    }
    assertEquals(1, compiler.compiled);
    assertEquals("fake 1 sm_90 axpy.cu", new String(cuda.loaded));
    assertEquals(1, cuda.calls.stream().filter(c -> c.startsWith("cuModuleLoadData")).count());
    assertEquals(2, cuda.calls.stream().filter(c -> c.startsWith("cuModuleGetFunction")).count());
    driver.launch(AXPY, "axpy_f32", SECOND, Grid.of(1, 32), new Object[0]);
    assertEquals(2, compiler.compiled);
    String last = cuda.calls.get(cuda.calls.size() - 2);
    assertTrue(last.endsWith("stream 57af, context c065, extra 0)"), last);
  }

  @Test
  void sharedMemoryOverTheUsualLimitIsAskedForOnce() {
    cuda.staticSharedBytes = 1024;
    launch(Grid.of(1, 32).withSharedBytes(47 << 10));
    assertTrue(cuda.calls.stream().noneMatch(c -> c.startsWith("cuFuncSetAttribute")));
    launch(Grid.of(1, 32).withSharedBytes(64 << 10));
    launch(Grid.of(1, 32).withSharedBytes(64 << 10));
    launch(Grid.of(1, 32).withSharedBytes(60 << 10));
    assertEquals(
        List.of("cuFuncSetAttribute(8, 65536)"),
        cuda.calls.stream().filter(c -> c.startsWith("cuFuncSetAttribute")).toList());
  }

  @Test
  void staticSharedMemoryCountsForTheUsualLimit() {
    cuda.staticSharedBytes = 1024;
    launch(Grid.of(1, 32).withSharedBytes((47 << 10) + 1));
    assertTrue(cuda.calls.contains("cuFuncSetAttribute(8, 48129)"), "" + cuda.calls);
  }

  @Test
  void moreSharedMemoryThanTheGpuHasIsAnErrorWithBothSizes() {
    assertEquals(
        "kernel axpy_f32() of axpy.cu on cuda:0, 1x1x1 blocks of 32 threads, 300000 shared bytes:"
            + " a block has 300000 bytes of dynamic shared memory, and the GPU at most 232448 in"
            + " all: cuFuncSetAttribute: CUDA_ERROR_INVALID_VALUE (reason 1)",
        refused(Grid.of(1, 32).withSharedBytes(300000)));
  }

  @Test
  void aFailedLaunchIsNamedWithItsArgumentsAndCudasReason() {
    cuda.failing.put("cuLaunchKernel", 1);
    try (Tensor x = Tensor.zeros(DType.BFLOAT16, 2, 3)) {
      assertEquals(
          "kernel axpy_f32(bfloat16[2, 3], null, 7, 0.5) of axpy.cu on cuda:0, 2x1x1 blocks of 64"
              + " threads, 0 shared bytes: cuLaunchKernel: CUDA_ERROR_INVALID_VALUE (reason 1)",
          refused(Grid.of(2, 64), x, null, 7L, 0.5f));
    }
  }

  @Test
  void anErrorOfARunningKernelSaysThatItMayBeAnEarlierOnes() {
    cuda.failing.put("cuLaunchKernel", 700);
    String message = refused(Grid.of(1, 32));
    assertTrue(
        message.endsWith(
            "CUDA_ERROR_700 (reason 700); it may be an earlier kernel's: CUDA_LAUNCH_BLOCKING=1"
                + " shows whose"),
        message);
  }

  @Test
  void aKernelThatIsNotInTheProgramIsAnError() {
    TensorException e =
        assertThrows(
            TensorException.class,
            () -> driver.launch(AXPY, "missing", GPU, Grid.of(1, 32), new Object[0]));
    assertTrue(
        e.getMessage().startsWith("kernel missing() of axpy.cu")
            && e.getMessage().endsWith("cuModuleGetFunction: CUDA_ERROR_500 (reason 500)"),
        e.getMessage());
  }

  @Test
  void aMissingStreamIsAnErrorAndNothingIsLaunched() {
    cuda.failing.put("stream", 1);
    assertTrue(refused(Grid.of(1, 32)).contains("libtorch names no current stream"));
    assertTrue(cuda.calls.stream().noneMatch(c -> c.startsWith("cuLaunchKernel")));
  }

  @Test
  void tooManyArgumentsAndAClosedTensorAreErrors() {
    Object[] many = new Object[LaunchFrame.MOST_ARGUMENTS + 1];
    assertTrue(refused(Grid.of(1, 32), many).contains("65 arguments, expected at most 64"));
    Tensor closed = Tensor.zeros(DType.FLOAT32, 2);
    closed.close();
    assertTrue(refused(Grid.of(1, 32), closed).contains("use of a closed tensor float32[2]"));
  }

  @Test
  void eachThreadHasItsOwnArguments() throws InterruptedException {
    long here = LaunchFrame.ofThread().parameters();
    AtomicLong there = new AtomicLong();
    Thread other = new Thread(() -> there.set(LaunchFrame.ofThread().parameters()));
    other.start();
    other.join();
    assertNotEquals(here, there.get());
    assertEquals(here, LaunchFrame.ofThread().parameters());
  }
}
