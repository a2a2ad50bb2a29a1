package ai.nibble.cli;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.tensor.OutOfMemoryException;
import ai.nibble.tensor.TensorException;
import ai.nibble.train.TrainingStoppedException;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.file.FileSystemException;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;
import picocli.CommandLine.UnmatchedArgumentException;

/** Turns what goes wrong into lines and an exit code. */
final class Failures implements IExecutionExceptionHandler, IParameterExceptionHandler {
  static final int FAILED = 1;
  static final int BAD_INPUT = 2;

  private static final String FOR_LESS_MEMORY =
      "lower micro_batch_size or sequence_len, set gradient_checkpointing: block or load_in_4bit:"
          + " true (evaluate: --batch-tokens; others: --load-in-4bit), or compute on the CPU";

  /** The virtual machine's words for it. */
  private static final Pattern SET_UP =
      Pattern.compile(
          "Exception "
              + Pattern.quote(InvalidInputException.class.getName())
              + ": (.*) \\[in thread \".*\"]",
          Pattern.DOTALL);

  @Override
  public int handleParseException(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    PrintWriter err = command.getErr();
    err.println("error: " + oneLine(e.getMessage()) + meant(e));
    if (command.getParent() == null) {
      command.usage(err); // which commands there are
    } else {
      err.println("'" + command.getCommandSpec().qualifiedName() + " --help' lists the options");
    }
    if (List.of(args).contains("--debug")) {
      e.printStackTrace(err);
    }
    err.flush();
    return BAD_INPUT;
  }

  /** The words that a mistyped one is near to, if there are any. */
  private static String meant(ParameterException e) {
    if (!(e instanceof UnmatchedArgumentException unmatched)) {
      return "";
    }
    List<String> near = unmatched.getSuggestions();
    return near.isEmpty() ? "" : " (did you mean " + String.join(" or ", near) + "?)";
  }

  @Override
  public int handleExecutionException(Exception e, CommandLine command, ParseResult parsed) {
    return report(e, command.getErr(), parsed.expandedArgs().contains("--debug"));
  }

  /** One line for each problem, and the exit code. */
  static int report(Throwable thrown, PrintWriter err, boolean debug) {
    Throwable e = thrown instanceof LinkageError ? cause(thrown) : thrown;
    if (e instanceof InvalidInputException invalid) {
      invalid.problems().forEach(problem -> err.println("error: " + problem));
    } else if (e instanceof TrainingStoppedException) {
      err.println("error: " + oneLine(e.getMessage())); // where it was seen says nothing more
    } else if (e instanceof OutOfMemoryException) {
      err.println("error: " + oneLine(e.getMessage()) + "; " + FOR_LESS_MEMORY);
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
      thrown.printStackTrace(err);
    }
    err.flush();
    return e instanceof InvalidInputException ? BAD_INPUT : FAILED;
  }

  /**
   * What a person can mend behind a class that could not be set up, as libtorch's cannot without
   * libtorch. The first use of the class has the exception as its cause, later ones only its text.
   */
  private static Throwable cause(Throwable thrown) {
    for (Throwable e = thrown; e != null; e = e.getCause()) {
      Matcher later = SET_UP.matcher(String.valueOf(e.getMessage()));
      if (e instanceof InvalidInputException) {
        return e;
      }
      if (e instanceof ExceptionInInitializerError && later.matches()) {
        return new InvalidInputException(later.group(1), thrown);
      }
    }
    return thrown;
  }

  /** A failure in one line, in a person's words where it has them. */
  static String summary(Throwable thrown) {
    Throwable e = thrown instanceof LinkageError ? cause(thrown) : thrown;
    if (e instanceof ExceptionInInitializerError && e.getCause() != null) {
      e = e.getCause();
    }
    boolean inWords =
        e instanceof InvalidInputException
            || e instanceof TensorException
            || e instanceof TrainingStoppedException;
    return oneLine(inWords ? e.getMessage() : describe(e));
  }

  private static String describe(Throwable e) {
    if (e instanceof UncheckedIOException unchecked) {
      boolean said = !String.valueOf(unchecked.getCause()).equals(e.getMessage());
      return said ? e.getMessage() : describe(unchecked.getCause()); // names file and reason
    }
    if (e instanceof FileSystemException file && file.getFile() != null) {
      return file.getFile() + ": " + FileProblem.reason(file);
    }
    if (e instanceof IOException io) {
      return FileProblem.reason(io);
    }
    String name = e.getClass().getSimpleName();
    return e.getMessage() == null ? name : name + ": " + e.getMessage();
  }

  private static String oneLine(String text) {
    return text.strip().replaceAll("\\s*\\R\\s*", " | ").replaceAll("\\p{Cntrl}", "?");
  }
}
