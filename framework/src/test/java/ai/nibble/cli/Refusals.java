package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Sha256;
import ai.nibble.recipe.RecipeRun;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import picocli.CommandLine;

/**
 * Runs commands as they are typed on input that is bad, and holds each to what every refusal is:
 * exit code 2, few lines without a trace or Java's names, in seconds, with memory of about the
 * files' size, and no file of the directory changed, made or removed.
 */
final class Refusals {
  /** What a person has no use for: a trace, names of Java's classes, of a parser's methods. */
  private static final Pattern INTERNALS =
      Pattern.compile(
          "\\tat |\\b(?:java|javax|jdk|sun|com|ai|org)\\.[a-z]\\w*\\.\\w|[A-Z]\\w*(?:Exception|Error)\\b"
              + "|StreamRead|Source:|\\w\\(\\)");

  /** Of processor time: this machine may be at other things. */
  private static final double MOST_SECONDS = 5;

  /** Classes, native libraries' wrappers and tables of a first use; no file of a test is as big. */
  private static final long SLACK_BYTES = 64L << 20;

  /** Eight of a kind, a count of the others, and one of another kind. */
  private static final int MOST_LINES = 10;

  /** A file above this is known by its size and time. */
  private static final long HASHED_BYTES = 8 << 20;

  private static final String RECIPE =
      """
      base_model: '%s'
      datasets: [{path: '%s', type: messages}]
      adapter: %s
      learning_rate: 0.01
      sequence_len: 64
      max_steps: 1
      lora_r: 2
      report_to: []
      dataset_prepared_path: none
      output_dir: '%s'
      """;

  private final Path directory;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  /**
   * @param directory that holds the input, and where outputs would go
   */
  Refusals(Path directory) {
    this.directory = directory;
  }

  /** Runs a command; returns its exit code. */
  int run(String... args) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    PrintStream nowhere =
        new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8);
    TrainRun train =
        (recipe, writer) -> {
          new RecipeRun(recipe, nowhere, false).run();
          return 0;
        };
    CommandLine command =
        Nibble.commandLine(train, Generation::run)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, args);
  }

  /** What the last command wrote to standard output, and to standard error. */
  String said() {
    return out.toString() + err;
  }

  /** Whether lines have nothing in them that a person has no use for. */
  static void assertPlain(String said) {
    assertFalse(INTERNALS.matcher(said).find(), () -> "internals in: " + said);
  }

  /** Runs a command that must be refused; returns the lines that say why. */
  List<String> of(String... args) throws IOException {
    Map<String, String> before = files();
    long bytes = Files.exists(directory) ? size() : 0;
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    long allocated = threads.getCurrentThreadAllocatedBytes();
    long start = threads.getCurrentThreadCpuTime();
    int code = run(args);
    double seconds = (threads.getCurrentThreadCpuTime() - start) / 1e9;
    allocated = threads.getCurrentThreadAllocatedBytes() - allocated;
    String command = String.join(" ", args) + "\n" + said();
    assertEquals(2, code, command);
    assertTrue(seconds <= MOST_SECONDS, seconds + " s: " + command);
    assertTrue(allocated <= 2 * bytes + SLACK_BYTES, allocated + " bytes: " + command);
    assertFalse(INTERNALS.matcher(said()).find(), () -> "internals in: " + command);
    assertEquals(before, files(), command);
    List<String> lines =
        err.toString()
            .lines()
            .filter(line -> line.startsWith("error: "))
            .map(line -> line.substring("error: ".length()))
            .toList();
    assertTrue(!lines.isEmpty() && lines.size() <= MOST_LINES, command);
    for (String line : lines) {
      assertTrue(line.chars().noneMatch(Character::isISOControl), command);
      assertTrue(line.length() <= 1200, () -> line.length() + " characters: " + command);
    }
    return lines;
  }

  /** What commands are tried on a base; each reads more of it than the one before. */
  enum Reader {
    /** Headers. */
    INSPECT,
    /** All weights of the linears. */
    QUANTIZE,
    /** All weights, configuration and tokenizer. */
    GENERATE,
    /** The same behind a recipe. */
    TRAIN;

    static final List<Reader> ALL = Arrays.asList(values());
  }

  /** The command line that reads a base in a way; a recipe is written for it. */
  String[] reading(Reader reader, Path base, String... more) throws IOException {
    List<String> args =
        new ArrayList<>(
            switch (reader) {
              case INSPECT -> List.of("inspect", base.toString());
              case QUANTIZE ->
                  List.of("quantize", "--model", base + "", "--output", output().toString());
              case GENERATE -> List.of("generate", "--model", base + "", "--prompt", "a");
              case TRAIN -> List.of("train", recipe(base, "lora").toString());
            });
    args.addAll(List.of(more));
    return args.toArray(String[]::new);
  }

  /** Where an output would go, and none is. */
  Path output() {
    return directory.resolve("written");
  }

  /** A recipe that trains on one row. */
  Path recipe(Path base, String adapter) throws IOException {
    Path rows = directory.resolve("rows.jsonl");
    Files.writeString(
        rows,
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\","
            + " \"content\": \"b\"}]}\n");
    return Files.writeString(
        directory.resolve("recipe.yaml"), RECIPE.formatted(base, rows, adapter, output()));
  }

  /** Holds each way of reading a base to a refusal, one line of which has all of these parts. */
  void each(List<Reader> readers, Path base, String... parts) throws IOException {
    for (Reader reader : readers) {
      List<String> lines = of(reading(reader, base));
      assertTrue(
          lines.stream().anyMatch(line -> Stream.of(parts).allMatch(line::contains)),
          () -> reader + " says\n" + String.join("\n", lines) + "\nexpected " + List.of(parts));
    }
  }

  private long size() throws IOException {
    long bytes = 0;
    for (Path file : list()) {
      bytes += Files.size(file);
    }
    return bytes;
  }

  private List<Path> list() throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      return files.filter(Files::isRegularFile).collect(Collectors.toList());
    }
  }

  private Map<String, String> files() throws IOException {
    Map<String, String> sums = new TreeMap<>();
    try (Stream<Path> files = Files.walk(directory)) {
      for (Path file : files.toList()) {
        boolean hashed = Files.isRegularFile(file) && Files.size(file) <= HASHED_BYTES;
        sums.put(
            directory.relativize(file).toString(),
            hashed
                ? Sha256.of(file)
                : Files.isDirectory(file)
                    ? "directory"
                    : Files.size(file) + " " + Files.getLastModifiedTime(file));
      }
    }
    return sums;
  }
}
