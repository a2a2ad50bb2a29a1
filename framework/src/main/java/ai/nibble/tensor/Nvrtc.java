package ai.nibble.tensor;

import com.sun.jna.Function;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.StringArray;
import com.sun.jna.ptr.IntByReference;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * NVIDIA's run-time compiler for CUDA C ({@code libnvrtc}, CUDA 11.2 or later; NVRTC user guide).
 * It compiles on any machine, also for GPUs that are not there.
 */
final class Nvrtc implements KernelCompiler {
  /**
   * Multiply and add are fused only where the source says so: else the compiler's choices decide
   * the last bit, and no reference can give the same.
   */
  private static final List<String> OPTIONS = List.of("--std=c++17", "--fmad=false");

  private static final int TEN = 10;

  private final NativeLibrary library;

  /** What the library opens by its bare name when it compiles; loaded as long as this is. */
  private final List<NativeLibrary> builtins;

  private final int major;
  private final int minor;
  private final int[] architectures;

  private Nvrtc(NativeLibrary library, List<NativeLibrary> builtins) {
    this.library = library;
    this.builtins = builtins;
    IntByReference first = new IntByReference();
    IntByReference second = new IntByReference();
    check(call("nvrtcVersion", first, second), "nvrtcVersion");
    this.major = first.getValue();
    this.minor = second.getValue();
    check(call("nvrtcGetNumSupportedArchs", first), "nvrtcGetNumSupportedArchs");
    this.architectures = new int[first.getValue()];
    check(call("nvrtcGetSupportedArchs", architectures), "nvrtcGetSupportedArchs");
    Arrays.sort(architectures);
  }

  /**
   * Loads the compiler.
   *
   * @param file a path, or a name that the dynamic linker knows
   * @throws UnsatisfiedLinkError if it cannot be loaded, or is too old to say what it knows
   * @throws TensorException if it does not say that
   */
  static Nvrtc load(String file) {
    List<NativeLibrary> builtins = new ArrayList<>();
    // Where the library's own search path does not name its directory, as in CUDA 13's packages.
    for (String beside : NvrtcSearch.in(Path.of(file).getParent(), NvrtcSearch.BUILTINS)) {
      builtins.add(NativeLibrary.getInstance(beside));
    }
    return new Nvrtc(NativeLibrary.getInstance(file), List.copyOf(builtins));
  }

  int major() {
    return major;
  }

  /** {@code NVRTC 12.8}. */
  String version() {
    return "NVRTC " + major + "." + minor;
  }

  @Override
  public String identity() {
    return version() + " " + String.join(" ", OPTIONS);
  }

  @Override
  public String target(int capability) {
    int newest = 0;
    for (int known : architectures) {
      if (known == capability) {
        return "sm_" + known;
      }
      newest = known < capability ? known : newest;
    }
    if (newest == 0) {
      throw new TensorException(
          version()
              + " compiles for compute capability "
              + text(architectures[0])
              + " to "
              + text(architectures[architectures.length - 1])
              + ", the GPU has "
              + text(capability)
              + ": name an older NVRTC by NIBBLE_NVRTC");
    }
    return "compute_" + newest;
  }

  private static String text(int capability) {
    return capability / TEN + "." + capability % TEN;
  }

  @Override
  public byte[] compile(CudaProgram program, String target) {
    byte[] source = (program.source() + "\0").getBytes(StandardCharsets.UTF_8);
    PointerByReference created = new PointerByReference();
    check(
        call("nvrtcCreateProgram", created, source, program.name(), 0, null, null),
        "nvrtcCreateProgram");
    try {
      Pointer handle = created.getValue();
      int code = compile(handle, target);
      if (code != 0) {
        throw new TensorException(
            program.name()
                + " does not compile for "
                + target
                + " with "
                + version()
                + ": "
                + describe(code)
                + "\n"
                + log(handle));
      }
      return result(handle, target.startsWith("sm_") ? "CUBIN" : "PTX");
    } finally {
      call("nvrtcDestroyProgram", created);
    }
  }

  private int compile(Pointer handle, String target) {
    String[] options = new String[OPTIONS.size() + 1];
    OPTIONS.toArray(options);
    options[OPTIONS.size()] = "--gpu-architecture=" + target;
    return call("nvrtcCompileProgram", handle, options.length, new StringArray(options));
  }

  private byte[] result(Pointer handle, String kind) {
    LongByReference size = new LongByReference();
    check(call("nvrtcGet" + kind + "Size", handle, size), "nvrtcGet" + kind + "Size");
    byte[] image = new byte[Math.toIntExact(size.getValue())];
    check(call("nvrtcGet" + kind, handle, image), "nvrtcGet" + kind);
    return image;
  }

  private String log(Pointer handle) {
    LongByReference size = new LongByReference();
    check(call("nvrtcGetProgramLogSize", handle, size), "nvrtcGetProgramLogSize");
    byte[] text = new byte[Math.toIntExact(size.getValue())];
    check(call("nvrtcGetProgramLog", handle, text), "nvrtcGetProgramLog");
    return Native.toString(text).strip();
  }

  private int call(String name, Object... arguments) {
    Function function = library.getFunction(name);
    return function.invokeInt(arguments);
  }

  private void check(int code, String call) {
    if (code != 0) {
      throw new TensorException(call + ": " + describe(code));
    }
  }

  private String describe(int code) {
    return library.getFunction("nvrtcGetErrorString").invokeString(new Object[] {code}, false);
  }
}
