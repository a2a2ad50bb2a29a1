package ai.nibble.cli;

import java.io.BufferedReader;
import java.io.Console;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Where a chat takes place: lines come in, answers go out, all else goes to standard error. */
final class Terminal {
  private static final int DEFAULT_COLUMNS = 80;

  private final BufferedReader in;
  private final PrintWriter out;
  private final PrintWriter err;
  private final boolean interactive;

  /** What a person was asked with, while the answer is awaited. */
  private volatile String asked;

  /**
   * @param in UTF-8
   * @param interactive whether a person types, and wants to be asked
   */
  Terminal(InputStream in, PrintWriter out, PrintWriter err, boolean interactive) {
    this.in = new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
    this.out = out;
    this.err = err;
    this.interactive = interactive;
  }

  /** Whether the process's input and output are a person's terminal. */
  static boolean isAttached() {
    Console console = System.console();
    try {
      // Java 22 to 24 have a console without a terminal, too, and this to tell them apart
      return console != null && (boolean) Console.class.getMethod("isTerminal").invoke(console);
    } catch (ReflectiveOperationException e) {
      return true;
    }
  }

  /** How wide the person's terminal is; 0 where there is none. */
  static int columns() {
    return isAttached() ? columns(List.of("stty", "size")) : 0;
  }

  /**
   * Java itself does not say.
   *
   * @param size a command that prints the rows and columns of the terminal it reads from
   */
  static int columns(List<String> size) {
    try {
      Process process =
          new ProcessBuilder(size)
              .redirectInput(ProcessBuilder.Redirect.INHERIT)
              .redirectError(ProcessBuilder.Redirect.DISCARD)
              .start();
      String printed = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
      String[] rowsAndColumns = printed.strip().split(" ");
      int columns = rowsAndColumns.length == 2 ? Integer.parseInt(rowsAndColumns[1]) : 0;
      return columns > 0 ? columns : DEFAULT_COLUMNS;
    } catch (IOException | NumberFormatException e) {
      return DEFAULT_COLUMNS; // no such command, or another one of its name
    }
  }

  /**
   * Whether text may be coloured: on a terminal, unless {@code NO_COLOR} (no-color.org) is set.
   *
   * @param environment of the process
   */
  static boolean takesColours(Map<String, String> environment) {
    return isAttached()
        && environment.getOrDefault("NO_COLOR", "").isEmpty()
        && !"dumb".equals(environment.get("TERM"));
  }

  boolean isInteractive() {
    return interactive;
  }

  /**
   * What a person says: a line, and those after it while each ends in a backslash.
   *
   * @return empty at the end of the input
   */
  Optional<String> turn() {
    StringBuilder turn = new StringBuilder();
    String line = line("> ");
    while (line != null && line.endsWith("\\")) {
      turn.append(line, 0, line.length() - 1).append('\n');
      line = line("… ");
    }
    boolean ended = line == null && turn.isEmpty();
    return ended ? Optional.empty() : Optional.of(turn.append(line == null ? "" : line).toString());
  }

  private String line(String prompt) {
    if (interactive) {
      asked = prompt;
      print(prompt);
    }
    try {
      String line = in.readLine();
      asked = null;
      if (line == null && interactive) {
        endLine(); // Ctrl-D leaves the cursor behind the prompt
      }
      return line;
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** A line that is no answer, said in the middle of another one; asks again where it did so. */
  void interject(String line) {
    String prompt = asked;
    endLine();
    say(line);
    if (prompt != null) {
      print(prompt);
    }
  }

  /** Part of an answer; false where nobody reads any more. */
  boolean print(String piece) {
    out.print(piece);
    return !out.checkError();
  }

  /** Ends the line of an answer. */
  void endLine() {
    out.println();
    out.flush();
  }

  /** A line that is no answer. */
  void say(String line) {
    err.println(line);
    err.flush();
  }
}
