package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import java.io.PrintWriter;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/** Turns what goes wrong into lines and an exit code. */
final class Failures implements IExecutionExceptionHandler, IParameterExceptionHandler {
  static final int FAILED = 1;
  static final int BAD_INPUT = 2;

  @Override
  public int handleParseException(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    PrintWriter err = command.getErr();
    err.println(oneLine(e.getMessage()));
    command.usage(err);
    if (List.of(args).contains("--debug")) {
      e.printStackTrace(err);
    }
    err.flush();
    return BAD_INPUT;
  }

  @Override
  public int handleExecutionException(Exception e, CommandLine command, ParseResult parsed) {
    return report(e, command.getErr(), parsed.expandedArgs().contains("--debug"));
  }

  /** One line for each problem, and the exit code. */
  static int report(Throwable e, PrintWriter err, boolean debug) {
    if (e instanceof InvalidInputException invalid) {
      invalid.problems().forEach(problem -> err.println("error: " + problem));
    } else if (e instanceof OutOfMemoryError) {
      err.println(
          "error: out of memory ("
              + oneLine(String.valueOf(e.getMessage()))
              + "); lower micro_batch_size or sequence_len, set gradient_checkpointing: block, or"
              + " for the Java heap raise -Xmx in NIBBLE_JAVA_OPTS");
    } else {
      String hint = debug ? "" : " (--debug shows where)";
      err.println("error: " + oneLine(describe(e)) + hint);
    }
    if (debug) {
      e.printStackTrace(err);
    }
    err.flush();
    return e instanceof InvalidInputException ? BAD_INPUT : FAILED;
  }

  private static String describe(Throwable e) {
    String name = e.getClass().getSimpleName();
    return e.getMessage() == null ? name : name + ": " + e.getMessage();
  }

  private static String oneLine(String text) {
    return text.strip().replaceAll("\\s*\\R\\s*", " | ").replaceAll("\\p{Cntrl}", "?");
  }
}
