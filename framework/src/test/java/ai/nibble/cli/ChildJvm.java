package ai.nibble.cli;

import java.io.File;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import java.util.stream.Stream;

/**
 * Nibble in processes of its own that are quick to start: one compiler, one thread, and after
 * {@link #archiveClasses} the classes of the first from an archive.
 */
final class ChildJvm {
  private final Path directory;
  private String classPath = System.getProperty("java.class.path");
  private Path archive;

  /**
   * @param directory where they run, and their output goes to {@code log}
   */
  ChildJvm(Path directory) {
    this.directory = directory;
  }

  /** Has the next process write the archive, and those after it use it. */
  void archiveClasses() throws IOException {
    List<String> entries = new ArrayList<>();
    for (String entry : classPath.split(File.pathSeparator)) {
      Path path = Path.of(entry);
      // an archive takes no directories
      entries.add(Files.isDirectory(path) ? jar(path, entries.size()).toString() : entry);
    }
    classPath = String.join(File.pathSeparator, entries);
    archive = directory.resolve("classes.jsa");
  }

  private Path jar(Path classes, int number) throws IOException {
    Path jar = directory.resolve("classes" + number + ".jar");
    try (OutputStream out = Files.newOutputStream(jar);
        JarOutputStream jars = new JarOutputStream(out);
        Stream<Path> files = Files.walk(classes)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        jars.putNextEntry(new JarEntry(classes.relativize(file).toString().replace('\\', '/')));
        Files.copy(file, jars);
      }
    }
    return jar;
  }

  Process start(Class<?> main, String... args) {
    Path java = Path.of(System.getProperty("java.home"), "bin", "java");
    List<String> command = new ArrayList<>();
    if (signalsAreIgnored()) {
      command.addAll(List.of("env", "--default-signal=HUP,INT"));
    }
    command.addAll(List.of(java.toString(), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"));
    if (archive != null) {
      String option =
          Files.exists(archive) ? "-XX:SharedArchiveFile=" : "-XX:ArchiveClassesAtExit=";
      command.add(option + archive);
      command.add("-Xlog:cds=off");
      command.add("-Xlog:cds+dynamic=off");
    }
    command.addAll(List.of("-cp", classPath, main.getName()));
    command.addAll(List.of(args));
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .directory(directory.toFile())
            .redirectErrorStream(true)
            .redirectOutput(directory.resolve("log").toFile());
    builder.environment().put("OMP_NUM_THREADS", "1");
    builder.environment().put("OMP_WAIT_POLICY", "PASSIVE");
    try {
      return builder.start();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Whether this process was started with SIGHUP or SIGINT ignored, as behind nohup and in a
   * shell's background: its children are too, and Java then leaves them so.
   */
  private static boolean signalsAreIgnored() {
    try (Stream<String> status = Files.lines(Path.of("/proc/self/status"))) {
      return status
          .filter(line -> line.startsWith("SigIgn:"))
          .anyMatch(line -> (Long.parseUnsignedLong(line.substring(7).strip(), 16) & 3) != 0);
    } catch (IOException e) {
      return false; // another system, whose shells a developer knows
    }
  }

  /** What the last one has printed so far. */
  String log() {
    try {
      return Files.readString(directory.resolve("log"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** Waits until it has printed a text, or ends. */
  void await(Process process, String text) throws InterruptedException {
    await(process, text, 1);
  }

  /** Waits until it has printed a text so many times, or ends. */
  void await(Process process, String text, int times) throws InterruptedException {
    while (process.isAlive() && log().split(text, -1).length <= times) {
      Thread.sleep(5);
    }
  }

  /** Its exit code. */
  int finished(Process process) throws InterruptedException {
    if (!process.waitFor(300, TimeUnit.SECONDS)) {
      process.destroyForcibly();
      throw new AssertionError("still at work: " + log());
    }
    return process.exitValue();
  }

  static void signal(Process process, String name) throws IOException, InterruptedException {
    new ProcessBuilder("kill", "-" + name, Long.toString(process.pid())).start().waitFor();
  }
}
