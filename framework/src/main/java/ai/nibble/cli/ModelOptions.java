package ai.nibble.cli;

import ai.nibble.lora.AdapterSet;
import ai.nibble.model.LoadOptions;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Spec;

/** The options that say what model to load, and how. */
final class ModelOptions {
  private static final Pattern NAMED = Pattern.compile("([A-Za-z0-9][A-Za-z0-9._-]*)=(.+)");

  @Spec(Spec.Target.MIXEE)
  private CommandSpec spec;

  @Option(
      names = "--model",
      paramLabel = BaseArgument.LABEL,
      converter = BaseArgument.class,
      description = "The base model; without it: what the adapter was trained on.")
  private Path model;

  @Option(
      names = "--adapter",
      paramLabel = "[NAME=]DIR",
      description =
          "An adapter in PEFT's form, such as the output of 'nibble train'; may be given again."
              + " Its name is the directory's, unless given.")
  private List<String> adapters = List.of();

  @Option(
      names = "--load-in-4bit",
      description =
          "Holds the base in NF4 with double quantisation; without it: as the first adapter was"
              + " trained, else as stored.")
  private boolean loadIn4bit;

  @Option(
      names = "--load-in-8bit",
      description = "Holds the base in int8 (LLM.int8()) instead, outliers from 6.0 in 16 bits.")
  private boolean loadIn8bit;

  @Option(
      names = "--compute-dtype",
      paramLabel = "TYPE",
      description =
          "auto, bfloat16, float16 or float32; without it: as the first adapter was trained, else auto.")
  private String computeDtype;

  @Option(
      names = "--allow-nonfinite-weights",
      description =
          "Takes NaN and infinite weights of the base as they are, each tensor of them named,"
              + " instead of refusing it.")
  private boolean nonFinite;

  @Mixin private DeviceOption device;

  /** What was asked for; a usage error where that is nothing, or not clear. */
  ModelRequest request() {
    if (model == null && adapters.isEmpty()) {
      throw usage("Missing required option: --model, or --adapter, or both");
    }
    Map<String, Path> named = named();
    Device where = device.device();
    return new ModelRequest(
        Optional.ofNullable(model),
        named,
        quantization(),
        ComputeDtype.parse(computeDtype, where, spec),
        device.devices(),
        nonFinite);
  }

  private Optional<QuantConfig> quantization() {
    if (loadIn4bit && loadIn8bit) {
      throw usage("--load-in-4bit and --load-in-8bit are both given: keep one");
    }
    if (loadIn8bit) {
      return Optional.of(new Quant8Config());
    }
    return loadIn4bit ? LoadOptions.nf4().quantization() : Optional.empty();
  }

  private Map<String, Path> named() {
    Map<String, Path> named = new LinkedHashMap<>();
    for (String given : adapters) {
      Matcher matcher = NAMED.matcher(given);
      boolean isNamed = matcher.matches();
      Path directory = Path.of(isNamed ? matcher.group(2) : given);
      Path last = directory.toAbsolutePath().normalize().getFileName();
      String name = isNamed ? matcher.group(1) : String.valueOf(last);
      if (name.equals(AdapterSet.OFF)) {
        throw usage("--adapter " + given + " is named 'off', which stands for none: give NAME=DIR");
      }
      if (named.put(name, directory) != null) {
        throw usage("Two adapters are named '" + name + "': give them as --adapter NAME=DIR");
      }
    }
    return named;
  }

  private ParameterException usage(String line) {
    return new ParameterException(spec.commandLine(), line);
  }
}
