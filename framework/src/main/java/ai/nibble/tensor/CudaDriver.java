package ai.nibble.tensor;

import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;

/**
 * Launches kernels through the CUDA driver on the stream that libtorch uses, so that they are in
 * order with libtorch's own. Programs are compiled and loaded at their first launch on a device and
 * stay loaded; device memory, contexts and streams are libtorch's.
 */
final class CudaDriver implements KernelLauncher {
  /** Shared memory, static and dynamic, that a block may have without asking. */
  private static final int SHARED_BYTES = 48 << 10;

  /** Tells the stream that libtorch uses in the calling thread. */
  @FunctionalInterface
  interface CurrentStream {
    /**
     * @param streamAddress where the stream is written
     * @return 0 on success
     */
    int get(int device, long streamAddress);
  }

  private record ModuleKey(CudaProgram program, int device) {}

  private record FunctionKey(CudaProgram program, String kernel, int device) {}

  private final CudaApi api;
  private final CurrentStream streams;
  private final KernelCompiler compiler;
  private final CudaContexts contexts;
  private final Map<ModuleKey, Long> modules = new ConcurrentHashMap<>();
  private final Map<FunctionKey, Function> functions = new ConcurrentHashMap<>();

  /**
   * @param api of a driver that is initialised
   */
  CudaDriver(CudaApi api, CurrentStream streams, KernelCompiler compiler) {
    this.api = api;
    this.contexts = new CudaContexts(api);
    this.streams = streams;
    this.compiler = compiler;
  }

  /** A loaded kernel, and how much dynamic shared memory a block of it may have. */
  private static final class Function {
    final long handle;
    int dynamicSharedBytes;

    Function(long handle, int dynamicSharedBytes) {
      this.handle = handle;
      this.dynamicSharedBytes = dynamicSharedBytes;
    }
  }

  @Override
  public void launch(
      CudaProgram program, String kernel, Device device, Grid grid, Object[] arguments) {
    LaunchFrame frame = LaunchFrame.ofThread();
    try {
      frame.pack(kernel, arguments);
      contexts.in(
          device.index(),
          () -> {
            launchHere(frame, program, kernel, device, grid);
            return null;
          });
    } catch (TensorException e) {
      throw new TensorException(
          CudaProgram.describe(program, kernel, device, grid, arguments) + ": " + e.getMessage(),
          e);
    }
  }

  private void launchHere(
      LaunchFrame frame, CudaProgram program, String kernel, Device device, Grid grid) {
    Function function = function(program, kernel, device.index());
    if (grid.sharedBytes() > 0) {
      allowShared(function, grid.sharedBytes(), device.index());
    }
    if (streams.get(device.index(), frame.streamAddress()) != 0) {
      throw new TensorException("libtorch names no current stream; it gave its reason on stderr");
    }
    int code =
        api.cuLaunchKernel(
            function.handle,
            (int) grid.blocksX(),
            grid.blocksY(),
            grid.blocksZ(),
            grid.threads(),
            1,
            1,
            grid.sharedBytes(),
            frame.stream(),
            frame.parameters(),
            0);
    CudaError.check(api, code, "cuLaunchKernel");
  }

  private Function function(CudaProgram program, String kernel, int device) {
    FunctionKey key = new FunctionKey(program, kernel, device);
    Function known = functions.get(key);
    return known != null ? known : functions.computeIfAbsent(key, this::loadFunction);
  }

  /** Needs the device's context to be current. */
  private Function loadFunction(FunctionKey key) {
    long module =
        modules.computeIfAbsent(new ModuleKey(key.program(), key.device()), this::loadModule);
    long[] function = new long[1];
    CudaError.check(
        api, api.cuModuleGetFunction(function, module, key.kernel()), "cuModuleGetFunction");
    int[] own = new int[1];
    CudaError.check(
        api,
        api.cuFuncGetAttribute(own, CudaApi.CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES, function[0]),
        "cuFuncGetAttribute");
    return new Function(function[0], Math.max(0, SHARED_BYTES - own[0]));
  }

  private long loadModule(ModuleKey key) {
    int capability = CudaDevices.capability(api, CudaDevices.handle(api, key.device()));
    byte[] image = compiler.compile(key.program(), compiler.target(capability));
    long[] module = new long[1];
    CudaError.check(api, api.cuModuleLoadData(module, image), "cuModuleLoadData");
    return module[0];
  }

  private void allowShared(Function function, int bytes, int device) {
    synchronized (function) {
      if (bytes <= function.dynamicSharedBytes) {
        return;
      }
      int code =
          api.cuFuncSetAttribute(
              function.handle, CudaApi.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, bytes);
      if (code != 0) {
        int most =
            CudaDevices.attribute(
                api,
                CudaApi.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
                CudaDevices.handle(api, device));
        throw new TensorException(
            "a block has "
                + bytes
                + " bytes of dynamic shared memory, and the GPU at most "
                + most
                + " in all: cuFuncSetAttribute: "
                + CudaError.describe(api, code));
      }
      function.dynamicSharedBytes = bytes;
    }
  }
}
