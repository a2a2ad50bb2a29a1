package ai.nibble.cli;

import ai.nibble.InvalidInputException;
import ai.nibble.eval.Variant;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.stored.QuantizationConfig;
import ai.nibble.recipe.TrainedWith;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * The models that {@code --compare} names: how the base's weights are held, perhaps with the
 * adapter, or a GGUF file beside the base.
 */
final class Variants {
  static final String BASE = "base";
  static final String ADAPTER = "adapter";
  private static final String WITH_ADAPTER = "+adapter";
  private static final int BLOCK_SIZE = 64;

  /** What may be named, for messages and help. */
  static final List<String> NAMES =
      List.of(BASE, "fp32", "bf16", "nf4", "nf4-dq", "fp4", "fp4-dq", "int8", ADAPTER);

  private final Path base;
  private final Optional<Path> adapter;
  private final Optional<TrainedWith> trained;
  private final Optional<DType> computeDtype;
  private final List<Device> devices;

  /**
   * @param trained what is known of the adapter's training
   * @param computeDtype as it was asked for
   * @param devices that each may be placed over
   */
  Variants(
      Path base,
      Optional<Path> adapter,
      Optional<TrainedWith> trained,
      Optional<DType> computeDtype,
      List<Device> devices) {
    this.base = base;
    this.adapter = adapter;
    this.trained = trained;
    this.computeDtype = computeDtype;
    this.devices = devices;
  }

  /**
   * The variants of these names; without any the adapter, or without one the base.
   *
   * @throws InvalidInputException for each that is unknown, or cannot be had
   */
  List<Variant> named(List<String> names) {
    List<String> wanted = names.isEmpty() ? List.of(adapter.isPresent() ? ADAPTER : BASE) : names;
    List<String> problems = new ArrayList<>();
    List<Variant> variants = new ArrayList<>();
    if (new LinkedHashSet<>(wanted).size() < wanted.size()) {
      problems.add("--compare names one twice: " + wanted);
    }
    for (String name : wanted) {
      try {
        variants.add(variant(name));
      } catch (InvalidInputException e) {
        problems.addAll(e.problems());
      }
    }
    Map<String, Path> places = new HashMap<>();
    for (Variant variant : variants) {
      Path other = places.putIfAbsent(variant.name(), variant.base());
      if (other != null && !other.equals(variant.base())) {
        problems.add(
            "--compare names %s and %s, which results would call the same: rename one"
                .formatted(other, variant.base()));
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    return variants;
  }

  private Variant variant(String name) {
    if (name.equals(ADAPTER)) {
      return new Variant(
          name,
          base,
          isQuantized() ? Optional.empty() : trained.flatMap(TrainedWith::quantization),
          dtype(trained.flatMap(TrainedWith::computeDtype)),
          Optional.of(requiredAdapter(name)),
          devices);
    }
    if (name.toLowerCase(Locale.ROOT).endsWith(".gguf")) {
      Path file = Path.of(name);
      WeightSource.requireModel(file);
      return new Variant(
          file.getFileName().toString(),
          file,
          Optional.empty(),
          dtype(),
          Optional.empty(),
          devices);
    }
    boolean adapted = name.endsWith(WITH_ADAPTER);
    String held = adapted ? name.substring(0, name.length() - WITH_ADAPTER.length()) : name;
    Optional<Path> with = adapted ? Optional.of(requiredAdapter(name)) : Optional.empty();
    return switch (held) {
      case BASE -> new Variant(name, base, Optional.empty(), dtype(), with, devices);
      case "fp32" -> new Variant(name, base, Optional.empty(), DType.FLOAT32, with, devices);
      case "bf16" -> new Variant(name, base, Optional.empty(), DType.BFLOAT16, with, devices);
      case "nf4" -> quantized(name, Quant4Type.NF4, false, with);
      case "nf4-dq" -> quantized(name, Quant4Type.NF4, true, with);
      case "fp4" -> quantized(name, Quant4Type.FP4, false, with);
      case "fp4-dq" -> quantized(name, Quant4Type.FP4, true, with);
      case "int8" -> quantized(name, new Quant8Config(), with);
      default ->
          throw new InvalidInputException(
              "--compare names '"
                  + name
                  + "', expected one of "
                  + NAMES
                  + ", NAME+adapter, or a .gguf file");
    };
  }

  private Variant quantized(String name, Quant4Type type, boolean dq, Optional<Path> with) {
    return quantized(name, new Quant4Config(type, BLOCK_SIZE, dq), with);
  }

  private Variant quantized(String name, QuantConfig config, Optional<Path> with) {
    if (isQuantized()) {
      throw new InvalidInputException(
          "--compare names '"
              + name
              + "', but the weights of "
              + base
              + " are quantised already and used as they are: name '"
              + BASE
              + "', or give the original model");
    }
    return new Variant(name, base, Optional.of(config), dtype(), with, devices);
  }

  /** Whether the base's files say that its weights are quantised. */
  private boolean isQuantized() {
    return Files.isDirectory(base) && QuantizationConfig.read(base).isPresent();
  }

  private Path requiredAdapter(String name) {
    return adapter.orElseThrow(
        () ->
            new InvalidInputException(
                "--compare names '" + name + "', which needs an adapter: give --adapter DIR"));
  }

  private DType dtype() {
    return dtype(Optional.empty());
  }

  private DType dtype(Optional<DType> asTrained) {
    return computeDtype
        .or(() -> asTrained)
        .orElseGet(() -> LoadOptions.autoComputeDtype(devices.get(0)));
  }
}
