package ai.nibble.tensor;

import ai.djl.engine.Engine;
import ai.djl.pytorch.jni.LibUtils;
import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import com.sun.jna.Function;
import com.sun.jna.NativeLibrary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

/**
 * Finds and loads libtorch once for the process: the natives that DJL provides, or those of the
 * directory that {@code NIBBLE_LIBTORCH} names (any libtorch from 2.7 on; NDArray interop is off
 * then, because DJL's own JNI fits its own version only).
 */
final class NativeLibraries {
  static final String EXPECTED_VERSION = "2.7.1";

  /**
   * How often OpenMP's threads look for work before they sleep, about a millisecond: longer than
   * the gaps within a step, but a thread that waits for one which other processes have pushed off
   * its core soon makes room for it (libgomp's own 300000 do not).
   */
  private static final String SPINS = "30000";

  /**
   * How libtorch keeps memory of a GPU: in segments that grow. Batches of changing lengths ask for
   * ever other sizes; with segments of fixed size what lies free between them cannot be used.
   */
  private static final String ALLOCATOR = "expandable_segments:True";

  /** Where libtorch reads it; the first is read by 2.7 and, before the other, by later ones. */
  private static final List<String> ALLOCATOR_VARIABLES =
      List.of("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF");

  /** Buffers from this size on are mappings of their own, given back when they are freed. */
  static final int MMAP_THRESHOLD = 32 << 20;

  private static final int M_TRIM_THRESHOLD = -1;
  private static final int M_TOP_PAD = -2;
  private static final int M_MMAP_THRESHOLD = -3;
  private static final int M_ARENA_MAX = -8;

  private NativeLibraries() {}

  /** What is loaded: libtorch, from where, and its part for CUDA. */
  private record Loaded(NativeLibrary libtorch, Path directory, CudaLibraries cuda) {
    static Loaded of(NativeLibrary libtorch, Path directory) {
      return new Loaded(libtorch, directory, CudaLibraries.load(directory));
    }
  }

  private static final class Holder {
    static final Loaded LOADED = load();
  }

  static NativeLibrary libtorch() {
    return Holder.LOADED.libtorch();
  }

  /** The directory that libtorch was loaded from. */
  static Path directory() {
    return Holder.LOADED.directory();
  }

  static CudaLibraries cuda() {
    return Holder.LOADED.cuda();
  }

  static boolean engineIsDjl() {
    return override() == null;
  }

  /** Sets a variable of the process, as libraries read it, unless it is set. */
  static void setEnvironment(String name, String value) {
    NativeLibrary.getInstance("c").getFunction("setenv").invokeInt(new Object[] {name, value, 0});
  }

  private static String override() {
    String value = System.getProperty("nibble.libtorch", System.getenv("NIBBLE_LIBTORCH"));
    return value == null || value.isBlank() ? null : value;
  }

  private static Loaded load() {
    prepareProcess();
    String override = override();
    if (override != null) {
      return loadFrom(Path.of(override));
    }
    // DJL reports home about its use unless told not to; set before its first class is touched.
    System.setProperty("OPT_OUT_TRACKING", "true");
    requireVersion(Engine.getEngine("PyTorch").getVersion());
    Path dir = Path.of(LibUtils.getLibtorchPath());
    return Loaded.of(NativeLibrary.getInstance(dir.resolve("libtorch_cpu.so").toString()), dir);
  }

  /**
   * @throws InvalidInputException unless the engine's version is the one that DJL's JNI is for
   */
  static void requireVersion(String version) {
    if (!version.equals(EXPECTED_VERSION)) {
      throw new InvalidInputException(
          "the PyTorch engine is version "
              + version
              + ", expected "
              + EXPECTED_VERSION
              + ": put pytorch-native-cpu "
              + EXPECTED_VERSION
              + " on the class path, unset PYTORCH_VERSION, or name a libtorch by"
              + " NIBBLE_LIBTORCH=DIR");
    }
  }

  private static Loaded loadFrom(Path dir) {
    Path library = dir.resolve("libtorch_cpu.so");
    if (!Files.isRegularFile(library)) {
      throw new InvalidInputException(
          "NIBBLE_LIBTORCH is '"
              + dir
              + "', which holds no libtorch_cpu.so: name the directory that has it (torch/lib of a"
              + " Python installation, or lib of a libtorch download)");
    }
    for (String dependency : List.of("libgomp", "libc10.so")) {
      loadFirstMatching(dir, dependency);
    }
    NativeLibrary loaded = NativeLibrary.getInstance(library.toString());
    long abi =
        ((Number) loaded.getFunction("aoti_torch_abi_version").invoke(Long.class, null))
            .longValue();
    long major = abi >>> 56;
    long minor = (abi >>> 48) & 0xff;
    if (major != 2 || minor < 7) {
      throw new InvalidInputException(
          "NIBBLE_LIBTORCH is '"
              + dir
              + "', libtorch "
              + major
              + "."
              + minor
              + ", expected 2.7 or a later 2.x");
    }
    return Loaded.of(loaded, dir);
  }

  private static void loadFirstMatching(Path dir, String prefix) {
    try (Stream<Path> files = Files.list(dir)) {
      files
          .filter(f -> f.getFileName().toString().startsWith(prefix))
          .findFirst()
          .ifPresent(f -> NativeLibrary.getInstance(f.toString()));
    } catch (IOException e) {
      throw new InvalidInputException(
          "NIBBLE_LIBTORCH '" + dir + "' cannot be listed: " + FileProblem.reason(e), e);
    }
  }

  /**
   * What must be said to the C library before libtorch is loaded. Buffers of a training step are
   * megabytes large and freed at once; by default glibc returns them to the kernel, and the next
   * step pays for every page again (10 times the cost of writing them).
   */
  private static void prepareProcess() {
    try {
      NativeLibrary c = NativeLibrary.getInstance("c");
      Function setenv = c.getFunction("setenv");
      setenv.invokeInt(new Object[] {"GOMP_SPINCOUNT", SPINS, 0});
      if (ALLOCATOR_VARIABLES.stream().allMatch(name -> System.getenv(name) == null)) {
        setenv.invokeInt(new Object[] {ALLOCATOR_VARIABLES.get(0), ALLOCATOR, 0});
      }
      Function mallopt = c.getFunction("mallopt");
      mallopt.invokeInt(new Object[] {M_ARENA_MAX, 1});
      mallopt.invokeInt(new Object[] {M_MMAP_THRESHOLD, MMAP_THRESHOLD});
      mallopt.invokeInt(new Object[] {M_TRIM_THRESHOLD, Integer.MAX_VALUE});
      mallopt.invokeInt(new Object[] {M_TOP_PAD, 64 << 20});
    } catch (UnsatisfiedLinkError e) {
      // Not glibc: the settings are only about speed.
      return;
    }
  }
}
