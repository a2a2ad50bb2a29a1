package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.List;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** How commands that are about a recipe name it. */
final class RecipeOptions {
  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Parameters(index = "0", arity = "0..1", paramLabel = "FILE", description = "The recipe.")
  private String positional;

  @Option(
      names = {"-c", "--config"},
      paramLabel = "FILE",
      description = "Another way to name the recipe; one of the two.")
  private String config;

  @Option(
      names = "--set",
      paramLabel = "KEY=VALUE",
      description = "Sets a key of the recipe; datasets.0.path=x reaches into lists.")
  private List<String> sets = List.of();

  /** Settings that win over the file's, {@code key=value} each. */
  List<String> sets() {
    return sets;
  }

  /**
   * The recipe's file.
   *
   * @throws ParameterException if none is named, or two
   */
  Path file() {
    if (positional != null && config != null) {
      throw usage("The recipe is given twice, as '" + positional + "' and --config: give one");
    }
    String file = positional != null ? positional : config;
    if (file == null) {
      throw usage("Missing required parameter: FILE, the recipe");
    }
    if (file.isEmpty() || file.equals("-")) {
      throw usage("The recipe is '" + file + "', expected a file: standard input is not read");
    }
    try {
      return Path.of(file);
    } catch (InvalidPathException e) {
      throw new InvalidInputException("the recipe's name is no path: " + e.getReason(), e);
    }
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
