package ai.nibble.cli;

import java.io.PrintWriter;

/** What {@code nibble generate} does with options that are sound. */
@FunctionalInterface
interface GenerateRun {
  /**
   * Generates.
   *
   * @param out answers go here
   * @param err all else goes here
   * @throws ai.nibble.InvalidInputException for what the files show, exit 2
   */
  void run(GenerateRequest request, PrintWriter out, PrintWriter err);
}
