package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.stream.Collectors;

/**
 * Decides which of a model's modules carry an adapter.
 *
 * <p>The rules are PEFT's ({@code check_target_module_exists}): an excluded module never does; a
 * pattern must match the whole path; a listed name means the module of that path and every module
 * that ends in a dot and the name, of which layer numbers keep some. Unlike PEFT, {@code
 * all-linear} goes with layer numbers too, and a setting that selects nothing is an error.
 */
public final class TargetMatcher {
  private final LoraConfig config;
  private final Optional<PathPattern> target;
  private final Optional<PathPattern> exclude;
  private final List<PathPattern> layers;

  /**
   * @throws InvalidInputException if {@code layers_pattern} is no regular expression
   */
  public TargetMatcher(LoraConfig config) {
    this.config = config;
    this.target = pattern("target_modules", config.targetModules());
    this.exclude = pattern("exclude_modules", config.excludeModules());
    this.layers =
        config.layersPattern().isEmpty()
            // the first numbered segment after two others is the layer; later ones number experts
            ? List.of(
                PathPattern.compile("layers_pattern", "", ".*?\\.[^.]*\\.(?P<idx>\\d+)\\.", ""))
            : config.layersPattern().stream()
                .map(
                    p ->
                        PathPattern.compile(
                            "layers_pattern", p, "(?:^|.*?\\.)", "\\.(?P<idx>\\d+)\\."))
                .toList();
  }

  private static Optional<PathPattern> pattern(String place, TargetModules modules) {
    return modules instanceof TargetModules.Regex regex
        ? Optional.of(PathPattern.compile(place, regex.pattern()))
        : Optional.empty();
  }

  /**
   * Whether a module is targeted, by its path alone: {@code all-linear} takes any but the embedding
   * and the output head.
   */
  public boolean targets(String path) {
    return !isExcluded(path) && isNamed(path) && isInLayers(path);
  }

  /**
   * The targeted modules, in the model's order.
   *
   * @param modules the paths of all modules that may be adapted, as in the tensors' names without
   *     {@code .weight}
   * @throws InvalidInputException with every name, exclusion, layer or pattern that selects nothing
   *     and what there is to select
   */
  public List<String> select(Collection<String> modules) {
    List<String> candidates = candidates(modules);
    List<String> named = candidates.stream().filter(this::isNamed).toList();
    List<String> selected = named.stream().filter(this::targets).toList();
    List<String> problems = new ArrayList<>();
    checkNames("target_modules", config.targetModules(), target, candidates, problems);
    checkNames("exclude_modules", config.excludeModules(), exclude, candidates, problems);
    // where what is targeted is in doubt, what suits no module at all is still wrong
    checkLayers(problems.isEmpty() ? named : candidates, problems);
    if (problems.isEmpty() && selected.isEmpty()) {
      problems.add(
          "target_modules: all "
              + named.size()
              + " targeted modules are left out by exclude_modules and layers_to_transform:"
              + " nothing would be trained");
    }
    boolean sure = problems.isEmpty();
    List<String> paths = sure ? selected : candidates;
    String which = paths.size() + (sure ? " targeted" : "") + " modules";
    checkPatterns("rank_pattern", config.rankPattern(), paths, which, problems);
    checkPatterns("alpha_pattern", config.alphaPattern(), paths, which, problems);
    problems.addAll(AdaptedTables.problems(config, selected));
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
    return selected;
  }

  /**
   * The same selection as a list that any version of PEFT reads: last segments where they say
   * exactly what is meant, whole paths otherwise. Patterns are kept as they are.
   */
  public LoraConfig resolve(Collection<String> modules) {
    List<String> selected = select(modules);
    boolean plain = config.excludeModules().equals(TargetModules.NONE);
    if (plain && !(config.targetModules() instanceof TargetModules.AllLinear)) {
      return config;
    }
    List<String> all = candidates(modules);
    if (plain) {
      List<String> names = condense(all, modules);
      if (config.layersToTransform().isEmpty() || names.stream().noneMatch(all::contains)) {
        return config.withTargets(
            new TargetModules.Names(names), TargetModules.NONE, config.layersToTransform());
      }
    }
    return config.withTargets(new TargetModules.Names(condense(selected, modules)));
  }

  private List<String> candidates(Collection<String> modules) {
    return config.targetModules() instanceof TargetModules.AllLinear
        ? modules.stream().filter(path -> !AdaptedTables.isTable(path)).toList()
        : List.copyOf(modules);
  }

  /** Last segments that only selected modules have, and the paths of the other selected ones. */
  private static List<String> condense(List<String> selected, Collection<String> linears) {
    Set<String> chosen = Set.copyOf(selected);
    Set<String> shared =
        linears.stream()
            .filter(path -> !chosen.contains(path))
            .map(TargetMatcher::lastSegment)
            .collect(Collectors.toSet());
    Set<String> names = new LinkedHashSet<>();
    for (String path : selected) {
      names.add(shared.contains(lastSegment(path)) ? path : lastSegment(path));
    }
    return List.copyOf(names);
  }

  private boolean isExcluded(String path) {
    return exclude.map(pattern -> pattern.matches(path)).orElse(false)
        || (config.excludeModules() instanceof TargetModules.Names names
            && names.names().stream().anyMatch(name -> means(name, path)));
  }

  private boolean isNamed(String path) {
    TargetModules modules = config.targetModules();
    if (modules instanceof TargetModules.Names names) {
      return names.names().stream().anyMatch(name -> means(name, path));
    }
    return target
        .map(pattern -> pattern.matches(path))
        .orElseGet(() -> !AdaptedTables.isTable(path));
  }

  private boolean isInLayers(String path) {
    if (config.layersToTransform().isEmpty()
        // PEFT does not filter a module listed by its whole path
        || (config.targetModules() instanceof TargetModules.Names names
            && names.names().contains(path))) {
      return true;
    }
    return layerOf(path).map(config.layersToTransform()::contains).orElse(false);
  }

  private Optional<Integer> layerOf(String path) {
    for (PathPattern pattern : layers) {
      String index = pattern.groupOfPrefix(path, "idx");
      if (index != null) {
        return index.length() <= 9 ? Optional.of(Integer.valueOf(index)) : Optional.empty();
      }
    }
    return Optional.empty();
  }

  private static boolean means(String name, String path) {
    return path.equals(name) || path.endsWith("." + name);
  }

  private static String lastSegment(String path) {
    return path.substring(path.lastIndexOf('.') + 1);
  }

  private static void checkNames(
      String place,
      TargetModules modules,
      Optional<PathPattern> pattern,
      List<String> linears,
      List<String> problems) {
    if (modules instanceof TargetModules.Names names) {
      for (String name : names.names()) {
        if (linears.stream().noneMatch(path -> means(name, path))) {
          problems.add(place + ": '" + name + "' matches none of " + existing(linears, name));
        }
      }
      if (names.names().isEmpty() && place.equals("target_modules")) {
        problems.add(place + " is empty, expected some of " + existing(linears, ""));
      }
    } else if (modules instanceof TargetModules.Regex regex
        && linears.stream().noneMatch(path -> pattern.orElseThrow().matches(path))) {
      String text = regex.pattern();
      String hint =
          linears.stream().anyMatch(path -> means(text, path))
              ? "; a string is a regular expression over whole paths: for the name write ['"
                  + text
                  + "']"
              : "; a regular expression must match a whole path such as '"
                  + (linears.isEmpty() ? "" : linears.get(0))
                  + "'";
      problems.add(place + ": '" + text + "' matches none of " + existing(linears, "") + hint);
    }
  }

  private static String existing(List<String> linears, String wanted) {
    Map<String, Integer> counts = new TreeMap<>();
    linears.forEach(path -> counts.merge(lastSegment(path), 1, Integer::sum));
    String list =
        counts.entrySet().stream()
            .map(e -> e.getKey() + " (" + e.getValue() + ")")
            .collect(Collectors.joining(", "));
    return "the model's "
        + linears.size()
        + " modules that can be adapted, expected one of ["
        + list
        + "]"
        + Nearest.of(lastSegment(wanted), counts.keySet())
            .map(near -> " (did you mean '" + near + "'?)")
            .orElse("");
  }

  private void checkLayers(List<String> named, List<String> problems) {
    if (config.layersToTransform().isEmpty()) {
      return;
    }
    Map<Integer, Integer> present = new LinkedHashMap<>();
    named.forEach(path -> layerOf(path).ifPresent(layer -> present.merge(layer, 1, Integer::sum)));
    if (present.isEmpty() && !config.layersPattern().isEmpty()) {
      problems.add(
          "layers_pattern: no targeted module lies in a numbered list named one of "
              + config.layersPattern()
              + ", expected a name before a number in a path such as '"
              + (named.isEmpty() ? "" : named.get(0))
              + "'");
      return;
    }
    List<Integer> missing =
        config.layersToTransform().stream().filter(layer -> !present.containsKey(layer)).toList();
    if (!missing.isEmpty()) {
      problems.add(
          "layers_to_transform: no targeted module lies in layers "
              + missing
              + ", expected some of "
              + present.keySet().stream().sorted().toList());
    }
  }

  private static void checkPatterns(
      String place,
      PathValues<?> values,
      List<String> paths,
      String modules,
      List<String> problems) {
    Set<String> unused = new LinkedHashSet<>(values.map().keySet());
    paths.forEach(path -> values.keyFor(path).ifPresent(unused::remove));
    for (String key : unused) {
      problems.add(
          place
              + ": '"
              + key
              + "' decides for none of the "
              + modules
              + ", expected a pattern for paths such as '"
              + paths.get(0)
              + "', before any other that matches them");
    }
  }
}
