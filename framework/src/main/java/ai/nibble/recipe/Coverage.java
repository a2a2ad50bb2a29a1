package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetMatcher;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/**
 * Which of a model's weights are trained, by their shapes alone.
 *
 * @param layers of the model
 * @param baseParameters weights of the base
 * @param parameters that are trained: of the adapter, or all
 * @param modules linears by the last part of their names; empty where all weights are trained
 */
public record Coverage(int layers, long baseParameters, long parameters, List<Module> modules) {
  /**
   * Linears of one name.
   *
   * @param name the last part of their paths
   * @param adapted how many carry an adapter
   * @param count how many there are
   * @param ranks of their adapters, ascending
   * @param parameters of their adapters together
   */
  public record Module(String name, int adapted, int count, List<Integer> ranks, long parameters) {}

  /** The share of all weights, the adapter's among them, that is trained. */
  public double share() {
    return modules.isEmpty() ? 1 : (double) parameters / (baseParameters + parameters);
  }

  /**
   * @throws InvalidInputException as {@code train} would, for an adapter that does not fit
   */
  static Coverage of(Recipe recipe, WeightSource base) {
    int layers = base.config().numHiddenLayers();
    long weights = base.names().stream().mapToLong(name -> elements(base.shape(name))).sum();
    if (recipe.adapter() == Recipe.Adapter.NONE) {
      return new Coverage(layers, weights, weights, List.of());
    }
    LoraConfig config = LoraSettings.of(recipe, base.config());
    List<String> all = CausalLm.adaptablePaths(base.config());
    Set<String> linears = new HashSet<>(CausalLm.linearPaths(base.config()));
    Set<String> adapted = new HashSet<>(new TargetMatcher(config).select(all));
    Map<String, List<String>> byName = new LinkedHashMap<>();
    for (String path : all) {
      // embedding and head are named where they are adapted; by themselves they are no linears
      if (!adapted.contains(path) && !linears.contains(path)) {
        continue;
      }
      String name = path.substring(path.lastIndexOf('.') + 1);
      byName.computeIfAbsent(name, n -> new ArrayList<>()).add(path);
    }
    List<Module> modules = new ArrayList<>();
    Set<String> problems = new LinkedHashSet<>();
    byName.forEach(
        (name, paths) -> modules.add(module(name, paths, adapted, config, base, problems)));
    if (!problems.isEmpty()) {
      throw new InvalidInputException(List.copyOf(problems));
    }
    return new Coverage(
        layers, weights, modules.stream().mapToLong(Module::parameters).sum(), modules);
  }

  private static Module module(
      String name,
      List<String> paths,
      Set<String> adapted,
      LoraConfig config,
      WeightSource base,
      Set<String> problems) {
    TreeSet<Integer> ranks = new TreeSet<>();
    long parameters = 0;
    int count = 0;
    for (String path : paths) {
      if (adapted.contains(path)) {
        long[] shape = base.shape(path + ".weight");
        count++;
        try {
          int rank = config.rankOf(path, shape[0], shape[1]);
          ranks.add(rank);
          parameters += rank * (shape[0] + shape[1]);
        } catch (InvalidInputException e) {
          problems.addAll(e.problems());
        }
      }
    }
    return new Module(name, count, paths.size(), List.copyOf(ranks), parameters);
  }

  private static long elements(long[] shape) {
    return Arrays.stream(shape).reduce(1, (a, b) -> a * b);
  }
}
