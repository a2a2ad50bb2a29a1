package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterNames.AdapterTensor;
import ai.nibble.lora.AdapterNames.Kind;
import ai.nibble.model.CausalLm;
import ai.nibble.nn.Parameter;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsTensor;
import ai.nibble.safetensors.SafetensorsWriter;
import ai.nibble.safetensors.TensorSpec;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;
import java.util.stream.Collectors;

/**
 * Reads and writes an adapter as the directory that PEFT reads and writes: {@code
 * adapter_config.json} and {@code adapter_model.safetensors}, float32.
 */
public final class AdapterStore {
  public static final String WEIGHTS = "adapter_model.safetensors";

  private AdapterStore() {}

  /**
   * Writes the adapter. The weights appear whole or not at all, the configuration after them. What
   * an adapter began with and takes back is written as part of it, so that it fits the base as it
   * is stored: A and B of twice the rank, as PEFT's {@code
   * path_initial_model_for_weight_conversion}.
   *
   * @param directory made if missing
   * @param baseModel what {@code base_model_name_or_path} says
   * @throws InvalidInputException if a value is not finite, or B is zero everywhere although the
   *     adapter was trained
   */
  public static void save(LoraAdapter adapter, Path directory, String baseModel, boolean trained)
      throws IOException {
    requireWorthSaving(adapter, directory, trained);
    Files.createDirectories(directory);
    Map<String, Supplier<Tensor>> tensors = adapter.tensors();
    List<TensorSpec> specs = new ArrayList<>();
    for (Map.Entry<String, Supplier<Tensor>> entry : tensors.entrySet()) {
      try (Tensor tensor = entry.getValue().get()) {
        specs.add(TensorSpec.of(entry.getKey(), DType.FLOAT32, tensor.shape()));
      }
    }
    try (SafetensorsWriter writer = SafetensorsWriter.create(directory.resolve(WEIGHTS), specs)) {
      for (Map.Entry<String, Supplier<Tensor>> entry : tensors.entrySet()) {
        try (Tensor tensor = entry.getValue().get();
            Tensor host = tensor.to(Device.CPU)) {
          writer.write(entry.getKey(), host.bytes(0, Math.toIntExact(host.byteSize())));
        }
      }
      writer.commit();
    }
    AdapterConfigFile.write(directory, new AdapterConfig(adapter.savedConfig(), baseModel));
  }

  private static void requireWorthSaving(LoraAdapter adapter, Path directory, boolean trained) {
    Set<String> zeros =
        adapter.modules().stream().map(AdapterNames::beginsAsZeros).collect(Collectors.toSet());
    boolean learned = zeros.isEmpty();
    for (Parameter p : adapter.parameters().parameters()) {
      boolean began = zeros.contains(p.name());
      for (float value : p.value().toFloats()) {
        if (!Float.isFinite(value)) {
          throw new InvalidInputException(
              directory + ": not saved, '" + p.name() + "' holds " + value);
        }
        learned |= began && value != 0;
      }
    }
    if (trained && !learned) {
      throw new InvalidInputException(
          directory + ": not saved, every lora_B is zero after training: nothing was learned");
    }
  }

  /**
   * Puts a saved adapter on a model.
   *
   * @param directory holds both files
   * @throws InvalidInputException if names or shapes do not fit the model and the configuration,
   *     with every one that does not
   */
  public static LoraAdapter load(CausalLm model, Path directory) {
    Path weights = weights(directory);
    AdapterConfig config = AdapterConfigFile.read(directory.resolve(AdapterConfigFile.NAME));
    return filled(empty(model, config, directory.resolve(AdapterConfigFile.NAME)), weights);
  }

  /** What does not fit the model is told of the file, not of a recipe's keys. */
  private static LoraAdapter empty(CausalLm model, AdapterConfig config, Path file) {
    try {
      return LoraAdapter.empty(model, config.lora());
    } catch (InvalidInputException e) {
      throw new InvalidInputException(e.problems().stream().map(p -> file + ": " + p).toList());
    }
  }

  /**
   * Puts a saved adapter on a model to go on training it.
   *
   * @param config what is trained, with other dropout maybe
   * @throws InvalidInputException if the adapter is another kind, with all that differs, or its
   *     tensors do not fit
   */
  public static LoraAdapter load(CausalLm model, Path directory, LoraConfig config) {
    Path weights = weights(directory);
    LoraConfig saved = AdapterConfigFile.read(directory.resolve(AdapterConfigFile.NAME)).lora();
    List<String> differences = Agreement.differences(saved, config, model.adaptables().keySet());
    if (!differences.isEmpty()) {
      throw new InvalidInputException(
          differences.stream().map(line -> directory + ": " + line).toList());
    }
    return filled(LoraAdapter.untrained(model, config), weights);
  }

  private static LoraAdapter filled(LoraAdapter adapter, Path weights) {
    try (SafetensorsFile file = SafetensorsFile.open(weights)) {
      fill(adapter, file);
      return adapter;
    } catch (RuntimeException e) {
      adapter.close();
      throw e;
    }
  }

  /**
   * Where an adapter's weights are, or should be.
   *
   * @throws InvalidInputException if there is only a pickle
   */
  public static Path weights(Path directory) {
    Path weights = directory.resolve(WEIGHTS);
    if (!Files.isRegularFile(weights) && Files.exists(directory.resolve("adapter_model.bin"))) {
      throw new InvalidInputException(
          directory
              + ": adapter_model.bin is a pickle, which can run code and is not loaded: save the"
              + " adapter as safetensors");
    }
    return weights;
  }

  private static void fill(LoraAdapter adapter, SafetensorsFile file) {
    List<String> problems = new ArrayList<>();
    for (String name : file.names()) {
      if (adapter.parameters().get(name) == null) {
        Optional<AdapterTensor> parsed = AdapterNames.parse(name);
        if (parsed.isPresent() && adapter.modules().contains(parsed.get().modulePath())) {
          if (parsed.get().kind() == Kind.BASE_LAYER) {
            adapter
                .copiedTable(file, name, parsed.get().modulePath())
                .map(problem -> file.path() + ": " + problem)
                .ifPresent(problems::add);
            continue;
          }
        }
        problems.add(
            file.path()
                + ": tensor '"
                + name
                + "' fits no module that the configuration targets"
                + parsed.map(t -> " (" + t.kind() + " of " + t.modulePath() + ")").orElse(""));
      }
    }
    for (Parameter p : adapter.parameters().parameters()) {
      String problem = fill(p, file);
      if (problem != null) {
        problems.add(file.path() + ": " + problem);
      }
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  /** Reads one tensor; returns what is wrong with it, or null. */
  private static String fill(Parameter p, SafetensorsFile file) {
    if (!file.names().contains(p.name())) {
      return "no tensor '" + p.name() + "', which adapter_config.json asks for";
    }
    SafetensorsTensor stored = file.tensor(p.name());
    long[] expected = p.value().shape();
    if (!Arrays.equals(stored.dimensions(), expected)) {
      return "tensor '"
          + p.name()
          + "' has the shape "
          + Arrays.toString(stored.dimensions())
          + ", expected "
          + Arrays.toString(expected)
          + " by the model and the rank in adapter_config.json"
          + AdapterNames.parse(p.name())
              .map(
                  t -> AdaptedTables.otherVocabulary(t.modulePath(), stored.dimensions(), expected))
              .orElse("");
    }
    float[] values = new float[Math.toIntExact(p.value().numel())];
    file.readFloats(p.name(), 0, values, 0, values.length);
    for (float value : values) {
      if (!Float.isFinite(value)) {
        return "tensor '" + p.name() + "' holds " + value + ", expected finite values";
      }
    }
    p.value().setFloats(FloatBuffer.wrap(values));
    return null;
  }
}
