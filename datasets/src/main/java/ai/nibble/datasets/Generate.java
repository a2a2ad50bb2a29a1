package ai.nibble.datasets;

import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import java.io.BufferedWriter;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;

/** The command {@code datasets/generate}. */
public final class Generate {
  private static final String USAGE =
      """
      usage: datasets/generate commands --out DIR [--seed N]
             datasets/generate corpus --out DIR [--seed N] [--rows N]
      commands  train.jsonl and test.jsonl of function calls; with the default seed those shipped
      corpus    text.jsonl and chat.jsonl, N rows together (%d by default)
      """
          .formatted(Corpus.ROWS);

  private static final Map<String, Set<String>> OPTIONS =
      Map.of("commands", Set.of("--out", "--seed"), "corpus", Set.of("--out", "--seed", "--rows"));

  private final String what;
  private final Map<String, String> options = new HashMap<>();

  private Generate(String... args) {
    if (args.length == 0 || !OPTIONS.containsKey(args[0])) {
      throw new IllegalArgumentException("expected one of [commands, corpus] first");
    }
    this.what = args[0];
    for (int i = 1; i < args.length; i += 2) {
      if (!OPTIONS.get(what).contains(args[i])) {
        throw new IllegalArgumentException(what + " has no option '" + args[i] + "'");
      }
      if (i + 1 == args.length) {
        throw new IllegalArgumentException("'" + args[i] + "' has no value");
      }
      options.put(args[i], args[i + 1]);
    }
    if (!options.containsKey("--out")) {
      throw new IllegalArgumentException("--out is missing: the directory to write to");
    }
  }

  /** Exit codes: 0 done, 1 failed, 2 bad usage. */
  public static void main(String[] args) {
    try {
      new Generate(args).run();
    } catch (IllegalArgumentException e) {
      System.err.println("error: " + e.getMessage());
      System.err.print(USAGE);
      System.exit(2);
    } catch (IOException e) {
      System.err.println("error: " + e);
      System.exit(1);
    }
  }

  /**
   * Writes what the arguments say.
   *
   * @throws IllegalArgumentException where they are not as the usage says
   */
  static void run(String... args) throws IOException {
    new Generate(args).run();
  }

  private void run() throws IOException {
    long seed = number("--seed", 42);
    long rows = number("--rows", Corpus.ROWS);
    Path out = Files.createDirectories(Path.of(options.get("--out")));
    if (what.equals("commands")) {
      write(out.resolve("train.jsonl"), json(CommandSet.train(seed)));
      write(out.resolve("test.jsonl"), json(CommandSet.test(seed)));
    } else {
      write(
          out.resolve("text.jsonl"),
          Corpus.text(seed, Corpus.textRows(rows)).map(Generate::textRow));
      write(
          out.resolve("chat.jsonl"),
          Corpus.chat(seed, rows - Corpus.textRows(rows)).map(Chat::json));
    }
  }

  private static Stream<String> json(List<CommandSet.Row> rows) {
    return rows.stream().map(row -> row.chat().json());
  }

  private static String textRow(String text) {
    return JsonNodeFactory.instance.objectNode().put("text", text).toString();
  }

  private long number(String option, long otherwise) {
    String text = options.getOrDefault(option, Long.toString(otherwise));
    if (!text.matches("\\d{1,12}")) {
      throw new IllegalArgumentException(option + " is '" + text + "', expected a whole number");
    }
    return Long.parseLong(text);
  }

  private static void write(Path file, Stream<String> lines) throws IOException {
    long count = 0;
    try (BufferedWriter writer = Files.newBufferedWriter(file)) {
      for (var i = lines.iterator(); i.hasNext(); count++) {
        writer.write(i.next());
        writer.write('\n');
      }
    }
    System.out.println(file + ": " + count + " rows, " + Files.size(file) + " bytes");
  }
}
