package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterNames.Kind;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.safetensors.SafetensorsTensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

/**
 * An adapter as it lies on disk, checked against the base it is for: its matrices are read when
 * asked for, module by module, so that it may be applied to weights that are not in memory either.
 * Safe for use from several threads until closed.
 */
public final class StoredAdapter implements AutoCloseable {
  private final SafetensorsFile file;
  private final AdapterConfig config;
  private final Set<String> modules;

  private StoredAdapter(SafetensorsFile file, AdapterConfig config, Set<String> modules) {
    this.file = file;
    this.config = config;
    this.modules = modules;
  }

  /**
   * Opens an adapter and checks its names and shapes.
   *
   * @param directory as PEFT writes it
   * @param base whose linears it changes
   * @throws InvalidInputException with every tensor that is missing, too much or of another shape
   *     than the base and the rank ask for
   */
  public static StoredAdapter open(Path directory, WeightSource base) {
    AdapterConfig config = AdapterConfigFile.read(directory);
    SafetensorsFile file = SafetensorsFile.open(AdapterStore.weights(directory));
    try {
      Set<String> modules = targets(config.lora(), base.config());
      List<String> problems = problems(file, config.lora(), modules, base);
      if (modules.isEmpty()) {
        problems.add("target_modules selects none of the base's linear modules");
      }
      if (!problems.isEmpty()) {
        String hint = "; is it for another base model?";
        throw new InvalidInputException(
            problems.stream().map(p -> directory + ": " + p + hint).toList());
      }
      return new StoredAdapter(file, config, modules);
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private static Set<String> targets(LoraConfig lora, ModelConfig base) {
    TargetMatcher matcher = new TargetMatcher(lora);
    Set<String> modules = new LinkedHashSet<>(CausalLm.linearPaths(base));
    modules.removeIf(path -> !matcher.targets(path));
    return modules;
  }

  private static List<String> problems(
      SafetensorsFile file, LoraConfig lora, Set<String> modules, WeightSource base) {
    List<String> problems = new ArrayList<>();
    for (String name : file.names()) {
      boolean known =
          AdapterNames.parse(name)
              .filter(t -> t.kind() == Kind.LORA_A || t.kind() == Kind.LORA_B)
              .filter(t -> modules.contains(t.modulePath()))
              .isPresent();
      if (!known) {
        problems.add("tensor '" + name + "' fits no targeted module of the base");
      }
    }
    for (String path : modules) {
      long[] weight = base.shape(path + ".weight");
      long r = lora.rankOf(path);
      check(file, AdapterNames.loraA(path), new long[] {r, weight[1]}, problems);
      check(file, AdapterNames.loraB(path), new long[] {weight[0], r}, problems);
    }
    return problems;
  }

  private static void check(
      SafetensorsFile file, String name, long[] expected, List<String> problems) {
    if (!file.names().contains(name)) {
      problems.add("no tensor '" + name + "', which adapter_config.json asks for");
      return;
    }
    SafetensorsTensor tensor = file.tensor(name);
    if (!Arrays.equals(tensor.dimensions(), expected)) {
      problems.add(
          "tensor '%s' has the shape %s, expected %s by the base and the rank"
              .formatted(name, tensor.shape(), Arrays.toString(expected)));
    }
  }

  public LoraConfig config() {
    return config.lora();
  }

  /** Keys of {@code adapter_config.json} that are not understood: worth a line to the user. */
  public List<String> ignoredKeys() {
    return config.ignoredKeys();
  }

  /** Paths of the adapted modules, in the model's order. */
  public Set<String> modules() {
    return Collections.unmodifiableSet(modules);
  }

  /** A of a module, {@code [r, in]} row-major, as float32; owned by the caller. */
  public float[] loraA(String modulePath) {
    return read(AdapterNames.loraA(modulePath));
  }

  /** B of a module, {@code [out, r]} row-major, as float32; owned by the caller. */
  public float[] loraB(String modulePath) {
    return read(AdapterNames.loraB(modulePath));
  }

  private float[] read(String name) {
    float[] values = new float[Math.toIntExact(file.tensor(name).elements())];
    file.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  @Override
  public void close() {
    file.close();
  }
}
