package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine;

/**
 * The quantisation table: one {@code nibble evaluate --cost} for each name, in a process of its
 * own, so that the peak of its memory is its own; all write one results file, from which the table
 * is made at the end.
 */
final class QualityRun {
  private final List<String> arguments;
  private final List<String> names;
  private final Optional<Path> results;
  private final Optional<Path> json;
  private final CommandLine command;

  /**
   * @param arguments of every {@code nibble evaluate}
   * @param names the quantisations
   * @param results where they are kept; empty: nowhere, once the table is there
   * @param command for what is printed
   */
  QualityRun(
      List<String> arguments,
      List<String> names,
      Optional<Path> results,
      Optional<Path> json,
      CommandLine command) {
    this.arguments = arguments;
    this.names = names;
    this.results = results;
    this.json = json;
    this.command = command;
  }

  void run() {
    try {
      Path file = results.isPresent() ? results.get() : Files.createTempFile("quality", ".jsonl");
      try {
        for (String name : names) {
          measure(name, file);
        }
        show(file);
      } finally {
        if (results.isEmpty()) {
          Files.deleteIfExists(file);
        }
      }
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private void measure(String name, Path file) throws IOException {
    List<String> line = java();
    line.add("evaluate");
    line.addAll(arguments);
    line.addAll(List.of("--compare", name, "--cost", "--results", file.toString()));
    ProcessBuilder builder = new ProcessBuilder(line);
    // its own table is part of the one at the end; its notes are ours
    builder.redirectOutput(ProcessBuilder.Redirect.DISCARD);
    builder.redirectError(ProcessBuilder.Redirect.INHERIT);
    command.getErr().flush();
    int code = wait(builder.start());
    if (code == Failures.BAD_INPUT) {
      throw new InvalidInputException(name + " was not measured: the lines above say why");
    }
    if (code != 0) {
      throw new IllegalStateException(
          name + " was not measured: its process ended with " + code + ", see the lines above");
    }
  }

  /** The Java that runs this, with its options. */
  private static List<String> java() {
    List<String> line = new ArrayList<>();
    line.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
        .filter(option -> !option.startsWith("-agent") && !option.startsWith("-javaagent"))
        .forEach(line::add);
    line.addAll(List.of("-cp", System.getProperty("java.class.path"), Nibble.class.getName()));
    return line;
  }

  private static int wait(Process process) {
    try {
      return process.waitFor();
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IllegalStateException("interrupted", e);
    } finally {
      process.destroy();
    }
  }

  /** All is in the file by now: nothing is loaded. */
  private void show(Path file) {
    List<String> line = new ArrayList<>(arguments);
    line.addAll(List.of("--compare", String.join(",", names), "--results", file.toString()));
    json.ifPresent(path -> line.addAll(List.of("--json", path.toString())));
    CommandLine evaluate = command.getParent().getSubcommands().get("evaluate");
    int code = evaluate.execute(line.toArray(String[]::new));
    if (code != 0) {
      throw new IllegalStateException("the table could not be made: the lines above say why");
    }
  }
}
