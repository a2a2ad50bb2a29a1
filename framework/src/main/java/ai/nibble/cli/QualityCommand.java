package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.StagedFile;
import ai.nibble.model.WeightSource;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** {@code nibble quality}. */
@Command(
    name = "quality",
    description =
        "Puts the ways to hold a base's weights side by side: quality, memory, load time and"
            + " decoding speed, each measured in a process of its own.",
    sortOptions = false,
    footer = {
      "",
      "What the columns mean: docs/evaluate.md",
      "Example:",
      "  nibble quality --model DIR --text wikitext2_test.txt --windows 40 \\",
      "      --hellaswag hellaswag_val.txt --items 300"
    })
final class QualityCommand implements Callable<Integer> {
  @Spec private CommandSpec spec;
  @Mixin private CommonOptions common;

  @Option(
      names = "--model",
      required = true,
      paramLabel = BaseArgument.LABEL,
      converter = BaseArgument.class,
      description = "The base.")
  private Path model;

  @Option(
      names = "--quantizations",
      split = ",",
      paramLabel = "NAME",
      description =
          "What to measure, differences to the first (default: ${DEFAULT-VALUE}): names of"
              + " 'nibble evaluate --compare', other .gguf files among them.")
  private List<String> quantizations = List.of("bf16", "int8", "nf4", "nf4-dq", "fp4");

  @Option(names = "--text", paramLabel = "FILE", description = "Text for perplexity.")
  private Path text;

  @Option(
      names = "--windows",
      paramLabel = "N",
      description = "Only the first windows of 1024 tokens (default: all).")
  private Integer windows;

  @Option(names = "--hellaswag", paramLabel = "FILE", description = "Items of HellaSwag.")
  private Path hellaswag;

  @Option(names = "--items", paramLabel = "N", description = "Only the first (default: all).")
  private Integer items;

  @Option(
      names = "--compute-dtype",
      paramLabel = "TYPE",
      description =
          "auto, bfloat16, float16 or float32, where a name does not say (default: auto).")
  private String computeDtype = "auto";

  @Mixin private DeviceOption device;

  @Option(
      names = "--results",
      paramLabel = "FILE",
      description = "As of 'nibble evaluate': a table that was ended is gone on with.")
  private Path results;

  @Option(names = "--json", paramLabel = "FILE", description = "Writes the table as JSON, too.")
  private Path json;

  @Override
  public Integer call() {
    requireAll();
    new QualityRun(
            arguments(),
            quantizations,
            Optional.ofNullable(results),
            Optional.ofNullable(json),
            spec.commandLine())
        .run();
    return 0;
  }

  /** Whatever can be wrong is said before any process starts, which may measure for hours. */
  private void requireAll() {
    device.choice(); // a GPU itself is for the processes that measure
    if (text == null && hellaswag == null) {
      throw usage("Missing required option: --text, or --hellaswag, or both");
    }
    requireUse("--windows", windows, "--text", text);
    requireUse("--items", items, "--hellaswag", hellaswag);
    if (quantizations.stream().anyMatch(name -> name.contains(Variants.ADAPTER))) {
      throw new InvalidInputException(
          "--quantizations names an adapter, which has no weights of its own: use 'nibble evaluate"
              + " --compare'");
    }
    Optional<DType> dtype = ComputeDtype.parse(computeDtype, Device.CPU, spec);
    WeightSource.open(model, notice -> {}).close(); // what is wrong is said once, and at once
    new Variants(model, Optional.empty(), Optional.empty(), dtype, List.of(Device.CPU))
        .named(quantizations);
    Stream.of(json, results).filter(Objects::nonNull).forEach(StagedFile::requirePlace);
  }

  private void requireUse(String option, Integer count, String of, Path file) {
    if (count != null && count < 1) {
      throw usage(option + " is " + count + ", expected at least 1");
    }
    if (count != null && file == null) {
      throw usage(option + " is given without " + of);
    }
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }

  /** What every {@code nibble evaluate} of the table is given. */
  private List<String> arguments() {
    List<String> arguments = new ArrayList<>(List.of("--model", model.toString()));
    arguments.addAll(List.of("--compute-dtype", computeDtype, DeviceOption.NAME, device.given()));
    task(arguments, TaskOption.PERPLEXITY, text, windows);
    task(arguments, "hellaswag", hellaswag, items);
    return arguments;
  }

  private static void task(List<String> arguments, String task, Path file, Integer limit) {
    if (file != null) {
      arguments.addAll(List.of("--task", task + "=" + file));
      if (limit != null) {
        arguments.addAll(List.of("--limit", task + "=" + limit));
      }
    }
  }
}
