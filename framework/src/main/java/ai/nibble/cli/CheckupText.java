package ai.nibble.cli;

import ai.nibble.Machine;
import ai.nibble.NibbleVersion;
import ai.nibble.tensor.CudaReport;
import ai.nibble.tensor.Gpu;
import ai.nibble.tensor.TensorException;
import ai.nibble.tensor.Torch;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.ToLongFunction;

/**
 * A checkup as a table of sections, {@code section → key → value}, the same for people and for
 * programs. Values are texts, numbers and booleans; a key that ends in {@code _bytes} has a size.
 */
final class CheckupText {
  private static final int LABEL_WIDTH = 18;
  private static final double GIBI = 1L << 30;

  /** Extensions that say how fast a CPU computes, as the kernel calls them. */
  private static final Set<String> TOLD =
      Set.of("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_bf16", "amx_int8");

  private final Checkup checkup;
  private final ToLongFunction<Gpu> freeBytes;
  private final long containerBytes;

  /**
   * @param freeBytes asks for the memory of a GPU that is free
   * @param containerBytes that the container leaves to this process; more than the machine has is
   *     no limit
   */
  CheckupText(Checkup checkup, ToLongFunction<Gpu> freeBytes, long containerBytes) {
    this.checkup = checkup;
    this.freeBytes = freeBytes;
    this.containerBytes = containerBytes;
  }

  /** All sections in order. */
  Map<String, Map<String, Object>> sections() {
    Map<String, Map<String, Object>> sections = new LinkedHashMap<>();
    sections.put("system", system());
    sections.put("libtorch", libtorch());
    sections.put("cuda", cuda());
    for (Gpu gpu : checkup.cuda().gpus()) {
      sections.put("gpu_" + gpu.index(), gpu(gpu));
    }
    return sections;
  }

  private Map<String, Object> system() {
    Machine machine = checkup.machine();
    Map<String, Object> s = new LinkedHashMap<>();
    s.put("nibble", NibbleVersion.text());
    s.put("java", System.getProperty("java.vm.name") + " " + Runtime.version());
    s.put("java_home", System.getProperty("java.home"));
    s.put(
        "os",
        String.join(
            " ",
            System.getProperty("os.name"),
            System.getProperty("os.version"),
            System.getProperty("os.arch")));
    putIfKnown(s, "distribution", machine.distribution());
    putIfKnown(s, "cpu", machine.cpu());
    s.put("cpu_cores", Runtime.getRuntime().availableProcessors());
    Set<String> told = new TreeSet<>(TOLD);
    told.retainAll(machine.cpuFlags());
    putIfKnown(s, "cpu_extensions", String.join(" ", told));
    s.put("cpu_bfloat16", Torch.multipliesBfloat16());
    putBytes(s, "memory_bytes", machine.totalBytes());
    putBytes(s, "available_bytes", machine.availableBytes());
    if (machine.totalBytes() == 0 || containerBytes < machine.totalBytes()) {
      s.put("container_leaves_bytes", containerBytes);
    }
    s.put("java_heap_bytes", Runtime.getRuntime().maxMemory());
    return s;
  }

  private Map<String, Object> libtorch() {
    Engine engine = checkup.engine();
    Map<String, Object> s = new LinkedHashMap<>();
    s.put("version", engine.version().isEmpty() ? "none" : engine.version());
    s.put("from", engine.isOfDjl() ? "DJL's natives" : "NIBBLE_LIBTORCH");
    if (engine.directory() != null) {
      s.put("directory", engine.directory().toString());
      s.put("threads", engine.threads());
      s.put("ndarray_interop", engine.isOfDjl());
    }
    CudaReport cuda = checkup.cuda();
    s.put("gpus", cuda.libtorchDevices());
    putIfKnown(s, "no_gpu_because", cuda.libtorchDevices() == 0 ? cuda.libtorchProblem() : "");
    return s;
  }

  private Map<String, Object> cuda() {
    CudaReport cuda = checkup.cuda();
    Map<String, Object> s = new LinkedHashMap<>();
    putIfKnown(s, "driver", checkup.machine().nvidiaDriver());
    putIfKnown(s, "driver_cuda", cuda.cuda());
    putIfKnown(s, "no_driver_because", cuda.driverProblem());
    s.put("nvrtc", cuda.nvrtc().isEmpty() ? "none" : cuda.nvrtc());
    putIfKnown(s, "nvrtc_file", cuda.nvrtcFile());
    putIfKnown(s, "no_nvrtc_because", cuda.nvrtcProblem());
    s.put("kernel_cache", cuda.kernelCache().toString());
    return s;
  }

  private Map<String, Object> gpu(Gpu gpu) {
    Map<String, Object> s = new LinkedHashMap<>();
    s.put("name", gpu.name());
    s.put("capability", gpu.capabilityText());
    s.put("multiprocessors", gpu.multiprocessors());
    s.put("memory_bytes", gpu.totalBytes());
    try {
      s.put("free_bytes", freeBytes.applyAsLong(gpu));
    } catch (TensorException e) {
      s.put("free", "unknown: " + e.getMessage());
    }
    List<String> kernels = checkup.kernelProblems();
    if (gpu.index() < kernels.size()) {
      String problem = kernels.get(gpu.index());
      String how =
          checkup.cuda().nvrtc().isEmpty() ? "run, composed of libtorch's operations" : "run";
      s.put("kernels", problem.isEmpty() ? how : "do not run");
    }
    return s;
  }

  private static void putIfKnown(Map<String, Object> section, String key, String value) {
    if (!value.isEmpty()) {
      section.put(key, value);
    }
  }

  private static void putBytes(Map<String, Object> section, String key, long bytes) {
    if (bytes > 0) {
      section.put(key, bytes);
    }
  }

  /** The sections, what is missing, and the verdict, as one object. */
  Map<String, Object> json() {
    Map<String, Object> root = new LinkedHashMap<>(sections());
    List<Map<String, Object>> missing = new ArrayList<>();
    for (Checkup.Missing m : checkup.missing()) {
      Map<String, Object> entry = new LinkedHashMap<>();
      entry.put("what", m.what());
      entry.put("remedy", m.remedy());
      entry.put("blocks", m.blocks());
      missing.add(entry);
    }
    root.put("missing", missing);
    root.put("can_train", checkup.canTrain());
    return root;
  }

  /** The same for people. */
  void print(PrintWriter out) {
    sections()
        .forEach(
            (section, values) -> {
              out.println(section.replace('_', ' '));
              values.forEach((key, value) -> out.println(line(key, value)));
            });
    List<Checkup.Missing> missing = checkup.missing();
    if (!missing.isEmpty()) {
      out.println("missing");
    }
    for (Checkup.Missing m : missing) {
      out.println("  - " + m.what());
      out.println("    remedy: " + m.remedy());
    }
    boolean gpu = checkup.cuda().libtorchDevices() > 0;
    String where = gpu ? "on the GPU and the CPU" : "on the CPU";
    out.println(checkup.canTrain() ? "training can run " + where : "training cannot run");
  }

  private static String line(String key, Object value) {
    String label = key.replaceFirst("_bytes$", "").replace('_', ' ');
    String text =
        key.endsWith("_bytes")
            ? String.format(Locale.ROOT, "%.1f GiB", ((Number) value).longValue() / GIBI)
            : value instanceof Boolean b ? (b ? "yes" : "no") : value.toString();
    return String.format(Locale.ROOT, "  %-" + LABEL_WIDTH + "s%s", label, text);
  }
}
