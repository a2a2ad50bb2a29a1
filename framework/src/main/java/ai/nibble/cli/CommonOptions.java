package ai.nibble.cli;

import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** What every command takes. */
@Command(
    mixinStandardHelpOptions = true,
    versionProvider = Version.class,
    usageHelpAutoWidth = true,
    synopsisHeading = "Usage: ",
    optionListHeading = "%n",
    parameterListHeading = "%n")
final class CommonOptions {
  @Option(names = "--debug", description = "Shows stack traces.")
  private boolean debug;

  boolean debug() {
    return debug;
  }
}
