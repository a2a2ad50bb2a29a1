package ai.nibble.tensor;

import com.sun.jna.Function;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Set;

/** What the process-wide engine is and can do. */
public final class Torch {
  private Torch() {}

  /** Version of the libtorch in use, for example {@code 2.7.1}. */
  public static String version() {
    if (NativeLibraries.engineIsDjl()) {
      NativeLibraries.libtorch();
      return NativeLibraries.EXPECTED_VERSION;
    }
    long abi = Libtorch.aoti_torch_abi_version();
    return (abi >>> 56) + "." + ((abi >>> 48) & 0xff) + "." + ((abi >>> 40) & 0xff);
  }

  /** The directory that libtorch was loaded from. */
  public static Path directory() {
    return NativeLibraries.directory();
  }

  /** Whether libtorch is the one that DJL brings, not one that {@code NIBBLE_LIBTORCH} names. */
  public static boolean isOfDjl() {
    return NativeLibraries.engineIsDjl();
  }

  /**
   * GPUs that libtorch computes on: 0 without one, without its driver, or with a libtorch for the
   * CPU.
   */
  public static int cudaDeviceCount() {
    return NativeLibraries.cuda().deviceCount();
  }

  /** Whether there is a GPU that libtorch computes on. */
  public static boolean cudaAvailable() {
    return cudaDeviceCount() > 0;
  }

  /**
   * Bytes of a GPU's memory that nobody uses now; what libtorch keeps for itself counts as used.
   *
   * @throws TensorException if the driver does not say
   */
  public static long freeBytes(Device gpu) {
    return CudaDevices.freeBytes(CudaProcess.driver().api(), gpu.index());
  }

  /**
   * What the driver says of a GPU.
   *
   * @throws TensorException if it does not show this one
   */
  public static Gpu gpu(Device device) {
    for (Gpu gpu : CudaProcess.gpus()) {
      if (!device.isCpu() && gpu.index() == device.index()) {
        return gpu;
      }
    }
    throw new TensorException("the driver shows no GPU for the device " + device);
  }

  /**
   * Whether libtorch rounds the operands of float32 products on a GPU to TF32's 11 bits. It does
   * not, unless {@code TORCH_ALLOW_TF32_CUBLAS_OVERRIDE} is set in the environment.
   */
  public static boolean allowsTf32() {
    int low =
        NativeLibraries.libtorch()
            .getFunction("_ZNK2at7Context15allowTF32CuBLASEv")
            .invokeInt(new Object[] {context()});
    return (byte) low != 0;
  }

  /** Address of {@code at::globalContext()}, the engine's settings. */
  static long context() {
    return NativeLibraries.libtorch().getFunction("_ZN2at13globalContextEv").invokeLong(null);
  }

  /** Threads of one operation of the calling thread on the CPU. */
  public static int threads() {
    return NativeLibraries.libtorch().getFunction("_ZN2at15get_num_threadsEv").invokeInt(null);
  }

  /**
   * Sets the threads of one operation on the CPU: of the calling thread's, and of those of threads
   * that have not computed yet. For programs that embed this one and share its cores; the command
   * line leaves the number to libtorch and {@code OMP_NUM_THREADS}.
   *
   * @param threads at least 1
   */
  public static void setThreads(int threads) {
    if (threads < 1) {
      throw new IllegalArgumentException("threads is " + threads + ", expected at least 1");
    }
    Function set = NativeLibraries.libtorch().getFunction("_ZN2at15set_num_threadsEi");
    set.invokeVoid(new Object[] {threads});
  }

  /**
   * To be called before anything is computed on GPUs by several threads at once. libtorch's switch
   * for fixed orders of summation, which single calls turn on, is one for the process, and while it
   * is on, another thread's products fail unless the environment holds cuBLAS to workspaces of its
   * own: then those are in a fixed order as well.
   */
  public static void expectSeveralThreads() {
    NativeLibraries.setEnvironment("CUBLAS_WORKSPACE_CONFIG", ":4096:8");
  }

  /**
   * Whether this CPU multiplies bfloat16 in hardware (AMX or AVX512-BF16). Without it libtorch
   * falls back to scalar code, ten times slower than float32.
   */
  public static boolean multipliesBfloat16() {
    return CpuFlags.BFLOAT16;
  }

  /**
   * Whether this CPU multiplies int8 in hardware (AMX or AVX512-VNNI). Without it libtorch's
   * products of int8 are a plain loop.
   */
  public static boolean multipliesInt8() {
    return CpuFlags.INT8;
  }

  private static final class CpuFlags {
    static final boolean INT8 =
        read().stream().anyMatch(Set.of("avx512_vnni", "amx_int8")::contains);
    static final boolean BFLOAT16 =
        read().stream().anyMatch(Set.of("avx512_bf16", "amx_bf16")::contains);

    private static Set<String> read() {
      Path info = Path.of("/proc/cpuinfo");
      try {
        for (String line : Files.readAllLines(info)) {
          if (line.startsWith("flags")) {
            return Set.of(line.substring(line.indexOf(':') + 1).trim().split("\\s+"));
          }
        }
      } catch (IOException e) {
        // Not Linux: claim nothing.
        return Set.of();
      }
      return Set.of();
    }
  }
}
