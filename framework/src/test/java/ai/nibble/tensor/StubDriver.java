package ai.nibble.tensor;

import com.sun.jna.Pointer;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;

/** What {@link LibcudaTest} runs in a process whose {@code libcuda.so.1} is {@code stub_cuda.c}. */
final class StubDriver {
  private static final long STREAM = 0x7fff00000000L + 4;
  private static final Device GPU = new Device(Device.Type.CUDA, 0);
  private static final CudaProgram AXPY = CudaProgram.of(StubDriver.class, "axpy.cu");

  private StubDriver() {}

  /** Prints a line for each thing that it saw. */
  public static void main(String[] args) {
    CudaProcess.Driver driver = CudaProcess.driver();
    System.out.println(driver.problem() + driver.version() + driver.gpus());
    System.out.println("free " + CudaDevices.freeBytes(driver.api(), 0));
    CudaUnified unified = new CudaUnified(driver.api(), StubDriver::stream);
    long pages = unified.allocate(GPU, 8);
    new Pointer(pages).setLong(0, 7);
    unified.prefetch(GPU, pages, 8); // the stub clears what it moves
    System.out.println("unified " + new Pointer(pages).getLong(0));
    unified.free(GPU, pages);
    print(() -> unified.allocate(GPU, 1L << 31));
    print(() -> upload(driver.api()));
    CudaDriver launcher =
        new CudaDriver(driver.api(), StubDriver::stream, new ImageOf(new FakeCompiler()));
    try (Tensor y = Tensor.of(new float[] {1, 2, 3}, 3);
        Tensor x = Tensor.of(new float[] {10, 20, 30}, 3)) {
      Object[] arguments = {y, x, 0.5f, 2L};
      launcher.launch(AXPY, "axpy_f32", GPU, Grid.of(3, 2, 64), arguments);
      System.out.println(Arrays.toString(y.toFloats()));
      Grid large = Grid.of(3, 2, 64).withSharedBytes(64 << 10);
      launcher.launch(AXPY, "axpy_f32", GPU, large, arguments);
      System.out.println(Arrays.toString(y.toFloats()));
      print(() -> launcher.launch(AXPY, "axpy_f32", GPU, Grid.of(4, 64), new Object[] {1}));
      print(() -> launcher.launch(AXPY, "other", GPU, Grid.of(4, 64), new Object[] {}));
    }
  }

  /** Copies more than a ring holds at once: events are asked for, and what is done is reused. */
  private static void upload(CudaApi api) {
    try (Uploads uploads = new Uploads(api, StubDriver::stream, GPU, 64, 64, System.out::println);
        Tensor to = Tensor.zeros(DType.INT32, 2)) {
      for (int i = 0; i < 3; i++) {
        int value = 10 + i;
        uploads.write(to, bytes -> bytes.putInt(value).putInt(-value));
        System.out.println("uploaded " + to.bytes(0, 8).getInt(4));
      }
    }
  }

  private static int stream(int device, long address) {
    new Pointer(address).setLong(0, STREAM);
    return device;
  }

  private static void print(Runnable launch) {
    try {
      launch.run();
      System.out.println("done");
    } catch (TensorException e) {
      System.out.println(e.getMessage());
    }
  }

  /** Gives the image that the stub takes. */
  private record ImageOf(KernelCompiler like) implements KernelCompiler {
    @Override
    public String identity() {
      return like.identity();
    }

    @Override
    public String target(int capability) {
      return like.target(capability);
    }

    @Override
    public byte[] compile(CudaProgram program, String target) {
      return ("image of " + program).getBytes(StandardCharsets.UTF_8);
    }
  }
}
