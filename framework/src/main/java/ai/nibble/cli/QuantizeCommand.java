package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.export.quantize.Quantize;
import ai.nibble.export.quantize.QuantizeReport;
import ai.nibble.export.quantize.QuantizeRequest;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.SkipModules;
import ai.nibble.train.log.ProcessMemory;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble quantize}. */
@Command(
    name = "quantize",
    description =
        "Writes a base with its linears quantised, as transformers and bitsandbytes load it. Where"
            + " it is interrupted, the same command goes on.",
    sortOptions = false,
    footer = {
      "",
      "Examples:",
      "  nibble quantize --model base --output base-nf4",
      "  nibble quantize --model base.gguf --type int8 --skip-modules down_proj \\",
      "      --output base-int8",
      "",
      "docs/quantization.md says which formats there are, and how they are read."
    })
final class QuantizeCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(
      names = "--model",
      paramLabel = BaseArgument.LABEL,
      converter = BaseArgument.class,
      required = true,
      description = "The base model, in 16 or 32 bits.")
  private Path model;

  @Option(
      names = {"--output", "--out"},
      paramLabel = "DIR",
      required = true,
      description = "A new directory, which is there in the end whole or not at all.")
  private Path output;

  @Option(
      names = "--type",
      paramLabel = "TYPE",
      description = "nf4, fp4 or int8 (default: ${DEFAULT-VALUE}).")
  private String type = "nf4";

  @Option(
      names = "--no-double-quant",
      description = "Scales of 4-bit blocks in float32, not themselves quantised to 8 bits.")
  private boolean noDoubleQuant;

  @Option(
      names = "--blocksize",
      paramLabel = "N",
      description = "Weights that share a scale, in 4 bits (default: 64).")
  private Integer blocksize;

  @Option(
      names = "--threshold",
      paramLabel = "X",
      description =
          "Magnitude from which int8 computes an activation's column in 16 bits (default: 6.0).")
  private Double threshold;

  @Option(
      names = "--skip-modules",
      paramLabel = "NAMES",
      split = ",",
      description = "Modules that stay plain: names such as down_proj or layers.0.")
  private List<String> skipModules = List.of();

  @Option(
      names = "--compute-dtype",
      paramLabel = "TYPE",
      description =
          "What config.json tells bitsandbytes to compute in: bfloat16, float16 or float32"
              + " (default: the base's dtype).")
  private String computeDtype;

  @Option(
      names = "--max-shard-size",
      paramLabel = "SIZE",
      description = "Most of a file, such as 500MB (default: ${DEFAULT-VALUE}).")
  private String maxShardSize = "5GB";

  @Override
  public Integer call() {
    PrintWriter out = spec.commandLine().getOut();
    PrintWriter err = spec.commandLine().getErr();
    QuantizeRequest request =
        new QuantizeRequest(
            model,
            config(),
            ComputeDtype.parse("--compute-dtype", computeDtype, spec),
            ShardSize.parse(maxShardSize, spec),
            output);
    long start = System.nanoTime();
    QuantizeReport report =
        Quantize.run(request, line -> say(err, "note: " + line), line -> say(err, line));
    out.printf(
        Locale.ROOT,
        "%d linears in %s%s; %d file%s, %.1f MB, in %.1f s; peak memory %.0f MB%n",
        report.linears(),
        request.config().description(),
        report.kept() == 0 ? "" : ", " + report.kept() + " stay plain",
        report.shards(),
        report.shards() == 1 ? "" : "s",
        report.bytes() / 1e6,
        (System.nanoTime() - start) / 1e9,
        Math.max(0, ProcessMemory.peakBytes()) / 1e6);
    out.flush();
    return 0;
  }

  private QuantConfig config() {
    SkipModules skipped = new SkipModules(skipModules);
    try {
      if (type.equals("int8")) {
        refuse(blocksize != null, "--blocksize");
        refuse(noDoubleQuant, "--no-double-quant");
        return new Quant8Config(threshold == null ? Quant8Config.THRESHOLD : threshold, skipped);
      }
      refuse(threshold != null, "--threshold");
      return new Quant4Config(
          Quant4Type.of(type), blocksize == null ? 64 : blocksize, !noDoubleQuant, skipped);
    } catch (InvalidInputException e) {
      String expected = "--type is '" + type + "', expected one of [nf4, fp4, int8]";
      throw usage(List.of("nf4", "fp4", "int8").contains(type) ? e.getMessage() : expected);
    }
  }

  private void refuse(boolean given, String option) {
    if (given) {
      throw usage(option + " has no effect with --type " + type + ": leave it out");
    }
  }

  private static void say(PrintWriter err, String line) {
    err.println(line);
    err.flush();
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
