package ai.nibble.tensor;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Finds NVRTC: what the user names; else what lies beside libtorch, in the directory itself or in
 * the {@code nvidia} packages of the same Python installation; else what the dynamic linker knows
 * or the CUDA toolkit has. A compiler of a later CUDA than the driver's is passed over, because the
 * driver would refuse its code.
 */
final class NvrtcSearch {
  /** What the compiler needs beside it. */
  static final Pattern BUILTINS = Pattern.compile("libnvrtc-builtins\\.so(\\.\\d+)*");

  /**
   * Libtorch's own download adds 8 digits to the name; {@code libnvrtc.alt} is another compiler.
   */
  private static final Pattern FILE = Pattern.compile("libnvrtc(-[0-9a-f]{8})?\\.so(\\.\\d+)*");

  /** What a user names who wants no compiler. */
  private static final String NONE = "none";

  private static final List<String> NAMES = List.of("libnvrtc.so.13", "libnvrtc.so.12");
  private static final List<Path> TOOLKIT = List.of(Path.of("/usr/local/cuda/lib64"));

  private NvrtcSearch() {}

  /**
   * What was found.
   *
   * @param compiler null if there is none
   * @param file where it was loaded from; empty if there is none
   * @param problem why there is none, empty otherwise
   * @param mistaken whether the user named one that is none
   */
  record Result(Nvrtc compiler, String file, String problem, boolean mistaken) {}

  /**
   * What the user named by {@code -Dnibble.nvrtc} or {@code NIBBLE_NVRTC}, else null. The name
   * {@code none} asks for no compiler.
   */
  static String named() {
    String value = System.getProperty("nibble.nvrtc", System.getenv("NIBBLE_NVRTC"));
    return value == null || value.isBlank() ? null : value;
  }

  /**
   * Searches.
   *
   * @param named a file or a directory that is used or nothing, null for none
   * @param libtorch the directory that libtorch was loaded from, null if unknown
   * @param latest major version of CUDA that the driver serves, 0 if unknown
   */
  static Result find(String named, Path libtorch, int latest) {
    if (NONE.equals(named)) {
      return new Result(null, "", "NIBBLE_NVRTC is 'none': unset it to look for one", false);
    }
    if (named != null) {
      return findNamed(Path.of(named));
    }
    List<String> seen = new ArrayList<>();
    for (String candidate : candidates(libtorch)) {
      try {
        Nvrtc compiler = Nvrtc.load(candidate);
        if (latest == 0 || compiler.major() <= latest) {
          return new Result(compiler, loadedFrom(candidate), "", false);
        }
        seen.add(candidate + " is " + compiler.version() + ", later than the driver's CUDA");
      } catch (UnsatisfiedLinkError | TensorException e) {
        if (candidate.startsWith("/")) {
          seen.add(candidate + ": " + e.getMessage());
        }
      }
    }
    String reasons = seen.isEmpty() ? "" : " (" + String.join("; ", seen) + ")";
    return new Result(null, "", "no NVRTC (libnvrtc.so) was found" + reasons, false);
  }

  private static Result findNamed(Path named) {
    List<String> files = Files.isDirectory(named) ? in(named, FILE) : List.of(named.toString());
    String reason = "which holds no libnvrtc.so";
    for (String file : files) {
      try {
        return new Result(Nvrtc.load(file), file, "", false);
      } catch (UnsatisfiedLinkError | TensorException e) {
        reason = "which cannot be loaded: " + e.getMessage();
      }
    }
    return new Result(
        null,
        "",
        "NIBBLE_NVRTC is '"
            + named
            + "', "
            + reason
            + "; name libnvrtc.so or its directory, of CUDA 11.2 or later",
        true);
  }

  private static List<String> candidates(Path libtorch) {
    List<String> result = new ArrayList<>();
    if (libtorch != null) {
      result.addAll(in(libtorch, FILE));
      Path packages = libtorch.toAbsolutePath().resolve("../../nvidia").normalize();
      for (Path directory : list(packages)) {
        result.addAll(in(directory.resolve("lib"), FILE));
      }
    }
    result.addAll(NAMES);
    TOOLKIT.forEach(directory -> result.addAll(in(directory, FILE)));
    return result;
  }

  /** Paths of the files of a directory with such names; none for null. */
  static List<String> in(Path directory, Pattern name) {
    return list(directory).stream()
        .filter(file -> name.matcher(file.getFileName().toString()).matches())
        .map(file -> file.toAbsolutePath().toString())
        .toList();
  }

  private static List<Path> list(Path directory) {
    if (directory == null || !Files.isDirectory(directory)) {
      return List.of();
    }
    try (Stream<Path> files = Files.list(directory)) {
      return files.sorted().toList();
    } catch (IOException e) {
      return List.of(); // as good as absent
    }
  }

  /** The file behind a bare name is known to the process alone. */
  private static String loadedFrom(String candidate) {
    if (candidate.startsWith("/")) {
      return candidate;
    }
    try (Stream<String> maps = Files.lines(Path.of("/proc/self/maps"))) {
      return maps.filter(line -> line.contains("/libnvrtc.so") || line.contains("/libnvrtc-"))
          .filter(line -> !line.contains("builtins"))
          .map(line -> line.substring(line.indexOf('/')))
          .findFirst()
          .orElse(candidate);
    } catch (IOException e) {
      return candidate;
    }
  }
}
