package ai.nibble.cli;

import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;

/** A command's writer as the stream that a run's parts print lines to. */
final class Lines {
  private Lines() {}

  /**
   * Whole lines only, each flushed.
   *
   * @param to not closed
   */
  static PrintStream to(Writer to) {
    PrintWriter writer = new PrintWriter(to, true);
    return new PrintStream(OutputStream.nullOutputStream(), false, StandardCharsets.UTF_8) {
      @Override
      public void println(String line) {
        writer.println(line);
      }
    };
  }
}
