package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * What adapters a model gets: {@code y = base(x) + scaling · B(A(dropout(x)))}.
 *
 * @param r rank of A {@code [r, in]} and B {@code [out, r]}, at least 1
 * @param alpha numerator of the scaling
 * @param dropout share of the inputs of A that are zeroed in training, 0 to below 1
 * @param targetModules the modules that carry an adapter
 * @param excludeModules names or a pattern of modules that do not, whatever the targets say
 * @param useRslora divide alpha by √r instead of r (Kalajdzievski 2023)
 * @param rankPattern ranks other than {@code r}
 * @param alphaPattern alphas other than {@code alpha}
 * @param layersToTransform numbers of the layers that are adapted; empty for all. PEFT applies them
 *     to listed names only, not to whole paths, and refuses them beside a pattern
 * @param layersPattern names of the module list that the layer numbers index; empty for any
 * @param initLoraWeights how the matrices begin
 * @param extras what is trained besides A and B
 */
public record LoraConfig(
    int r,
    double alpha,
    double dropout,
    TargetModules targetModules,
    TargetModules excludeModules,
    boolean useRslora,
    PathValues<Integer> rankPattern,
    PathValues<Double> alphaPattern,
    List<Integer> layersToTransform,
    List<String> layersPattern,
    InitLoraWeights initLoraWeights,
    AdapterExtras extras) {

  /** Rank 16, alpha 32, dropout 0.05 on every linear module except the output head. */
  public static final LoraConfig DEFAULT =
      new LoraConfig(
          16,
          32,
          0.05,
          new TargetModules.AllLinear(),
          TargetModules.NONE,
          false,
          PathValues.none(),
          PathValues.none(),
          List.of(),
          List.of(),
          InitLoraWeights.KAIMING);

  /** A and B alone. */
  public LoraConfig(
      int r,
      double alpha,
      double dropout,
      TargetModules targetModules,
      TargetModules excludeModules,
      boolean useRslora,
      PathValues<Integer> rankPattern,
      PathValues<Double> alphaPattern,
      List<Integer> layersToTransform,
      List<String> layersPattern,
      InitLoraWeights initLoraWeights) {
    this(
        r,
        alpha,
        dropout,
        targetModules,
        excludeModules,
        useRslora,
        rankPattern,
        alphaPattern,
        layersToTransform,
        layersPattern,
        initLoraWeights,
        AdapterExtras.NONE);
  }

  /**
   * @throws InvalidInputException with every value that is out of range
   */
  public LoraConfig {
    layersToTransform = List.copyOf(new TreeSet<>(layersToTransform));
    layersPattern = List.copyOf(layersPattern);
    List<String> problems = new ArrayList<>();
    if (r < 1) {
      problems.add("lora_r is " + r + ", expected at least 1");
    }
    if (!Double.isFinite(alpha)) {
      problems.add("lora_alpha is " + alpha + ", expected a finite number");
    }
    if (!(dropout >= 0 && dropout < 1)) {
      problems.add("lora_dropout is " + dropout + ", expected 0 to below 1");
    }
    rankPattern
        .map()
        .forEach(
            (key, value) -> {
              if (value < 1) {
                problems.add("rank_pattern: '" + key + "' is " + value + ", expected at least 1");
              }
            });
    alphaPattern
        .map()
        .forEach(
            (key, value) -> {
              if (!Double.isFinite(value)) {
                problems.add("alpha_pattern: '" + key + "' is " + value + ", expected finite");
              }
            });
    checkLayers(targetModules, layersToTransform, layersPattern, problems);
    if (excludeModules instanceof TargetModules.AllLinear) {
      problems.add("exclude_modules is 'all-linear', expected names or a regular expression");
    }
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private static void checkLayers(
      TargetModules targets, List<Integer> layers, List<String> patterns, List<String> problems) {
    if (!layers.isEmpty() && layers.get(0) < 0) {
      problems.add("layers_to_transform: " + layers.get(0) + " is no layer, expected at least 0");
    }
    if (targets instanceof TargetModules.Regex && !(layers.isEmpty() && patterns.isEmpty())) {
      problems.add(
          "layers_to_transform and layers_pattern go with a list of target modules, not with a"
              + " regular expression: put the layer numbers into the expression");
    } else if (!patterns.isEmpty() && layers.isEmpty()) {
      problems.add(
          "layers_pattern is "
              + patterns
              + " without layers_to_transform, expected both: add the layers' numbers");
    }
  }

  /** The rank of a module's adapter. */
  public int rankOf(String modulePath) {
    return rankPattern.get(modulePath).orElse(r);
  }

  /**
   * The rank of a module's adapter, for a weight {@code [out, in]}.
   *
   * @throws InvalidInputException if the weight itself has less
   */
  public int rankOf(String modulePath, long out, long in) {
    int rank = rankOf(modulePath);
    if (rank > Math.min(out, in)) {
      throw new InvalidInputException(
          "lora_r is "
              + rank
              + " for '"
              + modulePath
              + "', whose weight has only rank "
              + Math.min(out, in)
              + ": lower it, or set another in rank_pattern");
    }
    return rank;
  }

  /** The alpha of a module's adapter. */
  public double alphaOf(String modulePath) {
    return alphaPattern.get(modulePath).orElse(alpha);
  }

  /** The factor of B·A in a module's output: alpha / r, or alpha / √r with {@code useRslora}. */
  public double scaling(String modulePath) {
    int rank = rankOf(modulePath);
    return alphaOf(modulePath) / (useRslora ? Math.sqrt(rank) : rank);
  }

  /** The same with another rank and alpha. */
  public LoraConfig withRank(int newR, double newAlpha) {
    return copy(newR, newAlpha, rankPattern, alphaPattern, dropout, initLoraWeights, extras);
  }

  /** The same with another dropout. */
  public LoraConfig withDropout(double newDropout) {
    return copy(r, alpha, rankPattern, alphaPattern, newDropout, initLoraWeights, extras);
  }

  /** The same on other modules: targets, exceptions and layer numbers. */
  public LoraConfig withTargets(
      TargetModules newTargets, TargetModules newExclude, List<Integer> newLayers) {
    return new LoraConfig(
        r,
        alpha,
        dropout,
        newTargets,
        newExclude,
        useRslora,
        rankPattern,
        alphaPattern,
        newLayers,
        newLayers.isEmpty() ? List.of() : layersPattern,
        initLoraWeights,
        extras);
  }

  /** The same on other modules, all layers. */
  public LoraConfig withTargets(TargetModules newTargets) {
    return withTargets(newTargets, TargetModules.NONE, List.of());
  }

  /**
   * The same with twice the ranks and no other scaling: that of matrices that another pair, scaled
   * like them, was put beside.
   */
  LoraConfig doubled() {
    double factor = useRslora ? Math.sqrt(2) : 2;
    Map<String, Integer> ranks = new LinkedHashMap<>();
    rankPattern.map().forEach((key, rank) -> ranks.put(key, 2 * rank));
    Map<String, Double> alphas = new LinkedHashMap<>();
    alphaPattern.map().forEach((key, value) -> alphas.put(key, factor * value));
    return copy(
        2 * r,
        factor * alpha,
        new PathValues<>("rank_pattern", ranks),
        new PathValues<>("alpha_pattern", alphas),
        dropout,
        initLoraWeights,
        extras);
  }

  /** The same with another beginning. */
  public LoraConfig withInit(InitLoraWeights how) {
    return copy(r, alpha, rankPattern, alphaPattern, dropout, how, extras);
  }

  /** The same with other extras. */
  public LoraConfig withExtras(AdapterExtras newExtras) {
    return copy(r, alpha, rankPattern, alphaPattern, dropout, initLoraWeights, newExtras);
  }

  /** The same on the same modules. */
  private LoraConfig copy(
      int newR,
      double newAlpha,
      PathValues<Integer> newRankPattern,
      PathValues<Double> newAlphaPattern,
      double newDropout,
      InitLoraWeights newInit,
      AdapterExtras newExtras) {
    return new LoraConfig(
        newR,
        newAlpha,
        newDropout,
        targetModules,
        excludeModules,
        useRslora,
        newRankPattern,
        newAlphaPattern,
        layersToTransform,
        layersPattern,
        newInit,
        newExtras);
  }
}
