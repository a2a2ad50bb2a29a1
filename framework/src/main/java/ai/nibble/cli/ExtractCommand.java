package ai.nibble.cli;

import ai.nibble.export.merge.ExtractReport;
import ai.nibble.export.merge.ExtractRequest;
import ai.nibble.export.merge.Extraction;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble extract}. */
@Command(
    name = "extract",
    description = "Makes an adapter of the difference of two models, by singular values.",
    sortOptions = false,
    footer = {
      "",
      "Examples:",
      "  nibble extract --model base --tuned tuned --rank 16 --output adapter",
      "  nibble extract --model base --base-weights nf4+double --tuned merged \\",
      "      --rank 16 --output adapter",
      "",
      "docs/merge.md says how near it comes."
    })
final class ExtractCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(
      names = "--model",
      paramLabel = BaseArgument.LABEL,
      converter = BaseArgument.class,
      required = true,
      description = "The base model.")
  private Path model;

  @Option(
      names = "--tuned",
      paramLabel = "DIR|GGUF",
      required = true,
      description = "The model that was made of it, of the same shape.")
  private Path tuned;

  @Option(
      names = "--rank",
      paramLabel = "R",
      required = true,
      description = "Rank of the adapter, which has alpha = R and so a scaling of 1.")
  private int rank;

  @Option(
      names = {"--output", "--out"},
      paramLabel = "DIR",
      required = true,
      description = "A new directory for the adapter.")
  private Path output;

  @Option(
      names = "--base-weights",
      paramLabel = "WHICH",
      description =
          "What the tuned model is compared with: original, or the base's linears as nf4,"
              + " nf4+double, fp4, fp4+double or int8 holds them (default: ${DEFAULT-VALUE}).")
  private String baseWeights = BaseWeights.ORIGINAL;

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    if (!BaseWeights.named().contains(baseWeights)) {
      throw new ParameterException(
          spec.commandLine(),
          "--base-weights is '"
              + baseWeights
              + "', expected one of ["
              + String.join(", ", BaseWeights.named())
              + "]");
    }
    ExtractReport report =
        Extraction.run(
            new ExtractRequest(model, BaseWeights.of(baseWeights), tuned, rank, output),
            line -> {
              err.println("note: " + line);
              err.flush();
            },
            module -> print(module, out));
    out.printf(
        Locale.ROOT,
        "%d modules, rank %d: %.2f %% of the difference explained%n",
        report.modules().size(),
        rank,
        100 * report.explained());
    out.flush();
    return 0;
  }

  private static void print(ExtractReport.Module module, PrintWriter out) {
    out.printf(
        Locale.ROOT,
        "%s: norm of the difference %.4g, explained %.2f %%%n",
        module.path(),
        module.norm(),
        100 * module.explained());
    out.flush();
  }
}
