package ai.nibble.cli;

import ai.nibble.report.Report;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code nibble report}. */
@Command(
    name = "report",
    description = "Makes the page report.html of a run anew, from the files it wrote.",
    sortOptions = false,
    footer = {"", "Also while the run is under way.", "Example:", "  nibble report out/quickstart"})
final class ReportCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Parameters(paramLabel = "DIR", description = "The run's output_dir.")
  private Path directory;

  @Override
  public Integer call() throws IOException {
    PrintWriter out = spec.commandLine().getOut();
    out.println("report " + Report.write(directory));
    out.flush();
    return 0;
  }
}
