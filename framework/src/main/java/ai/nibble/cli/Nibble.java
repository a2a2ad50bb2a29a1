package ai.nibble.cli;

import ai.nibble.hub.HubSettings;
import ai.nibble.recipe.RecipeRun;
import ai.nibble.train.TrainingInterruptedException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The command {@code nibble}. */
@Command(name = "nibble", description = "QLoRA fine-tuning on the JVM.")
public final class Nibble implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  private Nibble() {}

  /**
   * Runs a command and ends the process: 0 done, 1 failed, 2 bad usage or recipe.
   *
   * @param args as {@code nibble --help} says
   */
  public static void main(String[] args) {
    // answers, lines of JSON and names of files are UTF-8, whatever the locale says
    PrintStream console = new PrintStream(System.out, true, StandardCharsets.UTF_8);
    TrainRun train =
        (recipe, out) -> {
          out.flush();
          RecipeRun run = new RecipeRun(recipe, console, Terminal.columns());
          try (StopOnSignal signal = new StopOnSignal(console)) {
            run.stopWhen(signal::isAsked);
            return train(run, console);
          }
        };
    CommandLine command =
        commandLine(train, Generation::run)
            .setOut(new PrintWriter(console, false, StandardCharsets.UTF_8))
            .setErr(new PrintWriter(System.err, true, StandardCharsets.UTF_8));
    System.exit(run(command, args));
  }

  private static int train(RecipeRun run, PrintStream console) {
    try {
      run.run();
      return 0;
    } catch (TrainingInterruptedException e) {
      String next = e.isResumable() ? "; go on with --set resume_from_checkpoint=auto" : "";
      console.println(e.getMessage() + next);
      console.flush();
      return Failures.FAILED; // the signal's own code comes instead
    }
  }

  /**
   * The command line, ready to execute.
   *
   * @param train what {@code nibble train} runs
   * @param generate what {@code nibble generate} runs
   */
  static CommandLine commandLine(TrainRun train, GenerateRun generate) {
    return commandLine(train, generate, HubSettings::ofEnvironment);
  }

  /** The same, {@code nibble download} from a hub as these settings have it. */
  static CommandLine commandLine(TrainRun train, GenerateRun generate, Supplier<HubSettings> hub) {
    Failures failures = new Failures();
    return new CommandLine(new Nibble())
        .addSubcommand(new TrainCommand(train))
        .addSubcommand(new DownloadCommand(hub))
        .addSubcommand(new InspectCommand(Terminal.takesColours(System.getenv())))
        .addSubcommand(new PlanCommand())
        .addSubcommand(new GenerateCommand(generate))
        .addSubcommand(new ChatCommand(System.in))
        .addSubcommand(new MergeCommand())
        .addSubcommand(new ExtractCommand())
        .addSubcommand(new QuantizeCommand())
        .addSubcommand(new EvaluateCommand())
        .addSubcommand(new QualityCommand())
        .addSubcommand(new TokenizerCommand())
        .addSubcommand(new ExportCommand())
        .addSubcommand(new ReportCommand())
        .addSubcommand(new VerifyCommand())
        .addSubcommand(new DoctorCommand())
        .setParameterExceptionHandler(failures)
        .setExecutionExceptionHandler(failures)
        // A file name may begin with @; options come from the command line only.
        .setExpandAtFiles(false)
        .setAbbreviatedOptionsAllowed(false);
  }

  /** Executes, with errors of the virtual machine reported like any other failure. */
  static int run(CommandLine command, String... args) {
    try {
      return command.execute(args);
    } catch (StackOverflowError | OutOfMemoryError | LinkageError e) {
      return Failures.report(e, command.getErr(), List.of(args).contains("--debug"));
    }
  }

  @Override
  public Integer call() {
    throw new ParameterException(spec.commandLine(), "Missing required subcommand");
  }
}
