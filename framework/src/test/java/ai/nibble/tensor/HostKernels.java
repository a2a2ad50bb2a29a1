package ai.nibble.tensor;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.Shared;
import com.sun.jna.Function;
import com.sun.jna.Memory;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Runs CUDA programs on CPU tensors, their sources compiled for the host by g++ (see {@code
 * ai/nibble/cuda/host.h}), between {@link #install} and the closing of what that returns. A launch
 * fails where the kernel touches memory beyond its tensors, is not aligned to a vector access,
 * indexes an array out of bounds, or where some threads miss a barrier or shuffle of the others.
 */
public final class HostKernels implements KernelLauncher {
  private static final String RESOURCES = "/ai/nibble/cuda/";

  /** No contraction, so that each operation rounds as in Java. */
  private static final List<String> FLAGS =
      List.of("-std=c++17", "-O2", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden");

  /** What turns every access into a call of the shim, and what the shim can tell beside that. */
  private static final List<String> CHECKS =
      List.of(
          "-fno-strict-aliasing",
          "-fsanitize=kernel-address,bounds,alignment,shift-exponent",
          "--param=asan-instrumentation-with-call-threshold=0",
          "--param=asan-globals=0",
          "--param=asan-stack=0",
          "-Wall",
          "-Wextra",
          "-Werror",
          "-Wno-unknown-pragmas",
          "-Wno-unused-function");

  private static final Pattern KERNEL =
      Pattern.compile(
          "__global__\\s+void\\s+(?:__launch_bounds__\\s*\\([^)]*\\)\\s*)?(\\w+)\\s*\\(");

  private static final Pattern DYNAMIC_SHARED =
      Pattern.compile(
          "extern\\s+__shared__\\s+(?:__align__\\s*\\(\\s*\\d+\\s*\\)\\s*)?([\\w ]+?)\\s+(\\w+)\\s*"
              + "\\[\\s*\\]\\s*;");

  /** By program source: its launch function. */
  private static final ConcurrentHashMap<String, Function> LOADED = new ConcurrentHashMap<>();

  private HostKernels() {}

  /** Puts it in force for CPU tensors; skips the calling test where there is no g++. */
  public static KernelLaunchers.Installation install() {
    if (areOnGpu()) {
      KernelLauncher driver = KernelLaunchers.of(new Device(Device.Type.CUDA, 0));
      return KernelLaunchers.install(Device.Type.CPU, new GpuKernels(driver));
    }
    assumeTrue(hasCompiler(), "skipped: needs g++, which is not on the path");
    return KernelLaunchers.install(Device.Type.CPU, new HostKernels());
  }

  /** Whether kernels are to run on the first GPU instead. */
  static boolean areOnGpu() {
    return "gpu".equals(System.getProperty("nibble.kernels"));
  }

  private static final class Compiler {
    static final boolean PRESENT = runs();

    private static boolean runs() {
      try {
        Process version =
            new ProcessBuilder("g++", "--version")
                .redirectErrorStream(true)
                .redirectOutput(ProcessBuilder.Redirect.DISCARD)
                .start();
        return version.waitFor() == 0;
      } catch (IOException e) {
        return false;
      } catch (InterruptedException e) {
        throw new IllegalStateException(e);
      }
    }
  }

  private static boolean hasCompiler() {
    return Compiler.PRESENT;
  }

  @Override
  public void launch(
      CudaProgram program, String kernel, Device device, Grid grid, Object[] arguments) {
    Function launch = LOADED.computeIfAbsent(program.source(), HostKernels::load);
    int n = arguments.length;
    // one allocation that stays for the call: values, their addresses
    try (Memory values = new Memory(Math.max(8, 8L * n));
        Memory addresses = new Memory(Math.max(8, 8L * n))) {
      int[] sizes = new int[Math.max(1, n)];
      List<Long> ranges = new ArrayList<>();
      for (int i = 0; i < n; i++) {
        sizes[i] = put(values, 8L * i, arguments[i], ranges);
        addresses.setPointer(8L * i, values.share(8L * i));
      }
      long[] dimensions = {grid.blocksX(), grid.blocksY(), grid.blocksZ(), grid.threads()};
      long[] tensors = ranges.stream().mapToLong(Long::longValue).toArray();
      Object[] call = {
        kernel,
        dimensions,
        (long) grid.sharedBytes(),
        addresses,
        sizes,
        n,
        tensors.length == 0 ? new long[2] : tensors,
        tensors.length / 2
      };
      Pointer failure;
      synchronized (launch) {
        failure = (Pointer) launch.invoke(Pointer.class, call);
      }
      if (failure != null) {
        throw new TensorException(
            failure.getString(0)
                + "; "
                + CudaProgram.describe(program, kernel, device, grid, arguments));
      }
    }
  }

  /** Stores an argument and returns its size; of a tensor also notes where its elements lie. */
  private static int put(Memory values, long at, Object argument, List<Long> ranges) {
    if (argument instanceof Integer i) {
      values.setInt(at, i);
      return Integer.BYTES;
    }
    if (argument instanceof Float f) {
      values.setFloat(at, f);
      return Float.BYTES;
    }
    if (argument instanceof Double d) {
      values.setDouble(at, d);
    } else if (argument instanceof Tensor t) {
      long address = t.address();
      values.setLong(at, address);
      ranges.add(address);
      ranges.add(address + extent(t));
    } else {
      values.setLong(at, argument == null ? 0 : (Long) argument);
    }
    return Long.BYTES;
  }

  /** Bytes from the first element to behind the last. */
  private static long extent(Tensor t) {
    long elements = 1;
    for (int d = 0; d < t.dim(); d++) {
      elements += (t.size(d) - 1) * t.stride(d);
    }
    return t.numel() == 0 ? 0 : elements * t.dtype().bytes();
  }

  private static Function load(String source) {
    try {
      Path folder = Shared.root().resolve("framework/target/host-kernels");
      Files.createDirectories(folder);
      String header = resource("host.h");
      Path shim = compileShim(folder, header, resource("host.cpp"));
      String key = hash(header, resource("host.cpp"), source, FLAGS.toString(), CHECKS.toString());
      Path library = folder.resolve("kernels-" + key + ".so");
      if (!Files.exists(library)) {
        Path text = Files.writeString(folder.resolve("kernels-" + key + ".cu"), source);
        Path host = folder.resolve("kernels-" + key + ".cpp");
        Path expanded = folder.resolve("kernels-" + key + ".ii");
        run("-E", "-x", "c++", text.toString(), "-o", expanded.toString());
        Files.writeString(host, hosted(Files.readString(expanded)));
        List<String> arguments = new ArrayList<>(FLAGS);
        arguments.addAll(CHECKS);
        arguments.addAll(List.of("-I", folder.resolve("include-" + hash(header)).toString()));
        arguments.addAll(List.of("-c", host.toString(), "-o"));
        build(folder, arguments, folder.resolve("kernels-" + key + ".o"));
        build(
            folder,
            List.of(
                "-shared",
                "-Wl,-Bsymbolic",
                "-Wl,--no-undefined",
                folder.resolve("kernels-" + key + ".o").toString(),
                shim.toString(),
                "-o"),
            library);
      }
      return NativeLibrary.getInstance(library.toString()).getFunction("hostLaunch");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static Path compileShim(Path folder, String header, String runtime) throws IOException {
    Path include = folder.resolve("include-" + hash(header));
    Files.createDirectories(include);
    Files.writeString(include.resolve("host.h"), header);
    String key = hash(header, runtime, FLAGS.toString());
    Path object = folder.resolve("host-" + key + ".o");
    if (!Files.exists(object)) {
      Path source = Files.writeString(folder.resolve("host-" + key + ".cpp"), runtime);
      List<String> arguments = new ArrayList<>(FLAGS);
      arguments.addAll(List.of("-I", include.toString(), "-c", source.toString(), "-o"));
      build(folder, arguments, object);
    }
    return object;
  }

  /** Names of a program's kernels, as macros make them; skips the calling test without g++. */
  static SortedSet<String> names(CudaProgram program) throws IOException {
    assumeTrue(hasCompiler(), "skipped: needs g++, which is not on the path");
    Path source = Files.createTempFile("kernels", ".cu");
    Path expanded = Files.createTempFile("kernels", ".ii");
    try {
      Files.writeString(source, program.source());
      run("-E", "-x", "c++", source.toString(), "-o", expanded.toString());
      return names(Files.readString(expanded));
    } finally {
      Files.delete(source);
      Files.delete(expanded);
    }
  }

  private static SortedSet<String> names(String expanded) {
    SortedSet<String> kernels = new TreeSet<>();
    Matcher matcher = KERNEL.matcher(expanded);
    while (matcher.find()) {
      kernels.add(matcher.group(1));
    }
    return kernels;
  }

  /** The preprocessed source with the shim before it and the table of its kernels behind. */
  private static String hosted(String expanded) {
    SortedSet<String> kernels = names(expanded);
    StringBuilder text = new StringBuilder("#include \"host.h\"\n");
    text.append(DYNAMIC_SHARED.matcher(expanded).replaceAll("$1 *$2 = ($1 *)hostDynamicShared();"));
    text.append("\n#line 1 \"kernels\"\nextern const HostKernel hostKernels[] = {\n");
    kernels.forEach(kernel -> text.append("  HOST_KERNEL(").append(kernel).append(")\n"));
    return text.append("  {nullptr, nullptr, 0, nullptr}};\n").toString();
  }

  /** Runs g++ into a file beside the output, which so is whole or absent. */
  private static void build(Path folder, List<String> arguments, Path output) throws IOException {
    Path part = Files.createTempFile(folder, "part", null);
    List<String> all = new ArrayList<>(arguments);
    all.add(part.toString());
    run(all.toArray(String[]::new));
    Files.move(part, output, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
  }

  private static void run(String... arguments) throws IOException {
    List<String> command = new ArrayList<>(List.of("g++"));
    command.addAll(Arrays.asList(arguments));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    try {
      if (process.waitFor() != 0) {
        throw new TensorException(String.join(" ", command) + ":\n" + output);
      }
    } catch (InterruptedException e) {
      throw new IllegalStateException(e);
    }
  }

  private static String resource(String name) throws IOException {
    try (InputStream in = HostKernels.class.getResourceAsStream(RESOURCES + name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  private static String hash(String... parts) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      for (String part : parts) {
        digest.update(part.getBytes(StandardCharsets.UTF_8));
        digest.update((byte) 0);
      }
      return HexFormat.of().formatHex(digest.digest(), 0, 10);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
  }
}
