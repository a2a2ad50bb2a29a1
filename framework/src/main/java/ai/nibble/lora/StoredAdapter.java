package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterNames.AdapterTensor;
import ai.nibble.lora.AdapterNames.Kind;
import ai.nibble.model.CausalLm;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.Set;

/**
 * An adapter as it lies on disk, checked against the base it is for: its tensors are read when
 * asked for, so that it may be applied to weights that are not in memory either. DoRA's magnitudes,
 * biases and modules that were trained whole are part of it. Safe for use from several threads
 * until closed.
 */
public final class StoredAdapter implements AutoCloseable {
  private static final String HEAD = "lm_head";

  /** An adapter of another model differs in every tensor; these many lines say enough. */
  private static final int MAX_LINES = 8;

  private final Path directory;
  private final AdapterConfig config;
  private final SafetensorsFile file;
  private final WeightSource base;
  private final List<String> modules;

  /** By name in the base, the name in the adapter's file. */
  private final Map<String, String> replacements = new LinkedHashMap<>();

  /** By module path, the tokens whose rows are replaced. */
  private final Map<String, List<Integer>> tokens = new LinkedHashMap<>();

  private StoredAdapter(
      Path directory, AdapterConfig config, SafetensorsFile file, WeightSource base) {
    this.directory = directory;
    this.config = config;
    this.file = file;
    this.base = base;
    TargetMatcher matcher = new TargetMatcher(config.lora());
    this.modules =
        CausalLm.adaptablePaths(base.config()).stream()
            .filter(path -> matcher.targets(path) && !config.extras().saves(path))
            .toList();
  }

  /**
   * Opens an adapter directory and checks every tensor's name, shape and values.
   *
   * @param base stays the caller's
   * @throws InvalidInputException with a line for each tensor that does not fit
   */
  public static StoredAdapter open(Path directory, WeightSource base) {
    return open(directory, base, true);
  }

  /**
   * The same for a model that the adapter was merged into.
   *
   * @param merged stays the caller's
   */
  public static StoredAdapter openMerged(Path directory, WeightSource merged) {
    return open(directory, merged, false);
  }

  private static StoredAdapter open(Path directory, WeightSource base, boolean original) {
    Path weights = weights(directory);
    AdapterConfig config = AdapterConfigFile.readForMerging(directory);
    SafetensorsFile file = SafetensorsFile.open(weights);
    try {
      StoredAdapter adapter = new StoredAdapter(directory, config, file, base);
      adapter.check(original);
      return adapter;
    } catch (RuntimeException e) {
      file.close();
      throw e;
    }
  }

  private static Path weights(Path directory) {
    Path weights = AdapterStore.weights(directory);
    if (!Files.isRegularFile(weights)) {
      throw new InvalidInputException(
          directory
              + ": no "
              + AdapterStore.WEIGHTS
              + ", expected an adapter's directory, such as the output of 'nibble train'");
    }
    return weights;
  }

  /**
   * @param original whether the base is as it was: else copies of its tables are of another
   */
  private void check(boolean original) {
    List<String> problems = new ArrayList<>();
    Set<String> known = new HashSet<>();
    for (String module : modules) {
      long[] shape = base.shape(module + ".weight");
      long r = config.lora().rankOf(module);
      boolean embeds = AdapterNames.isEmbedding(module);
      require(AdapterNames.loraA(module), new long[] {r, shape[embeds ? 0 : 1]}, known, problems);
      require(AdapterNames.loraB(module), new long[] {shape[embeds ? 1 : 0], r}, known, problems);
      requireCopyFits(module, original, known, problems);
      if (embeds && (extras().useDora() || extras().loraBias())) {
        problems.add("DoRA or a bias of B on '" + module + "' is not supported yet");
        continue;
      }
      if (extras().useDora()) {
        String name = AdapterNames.name(module, Kind.LORA_MAGNITUDE_VECTOR);
        require(name, new long[] {shape[0]}, known, problems);
      }
      if (extras().loraBias()) {
        require(AdapterNames.name(module, Kind.LORA_B_BIAS), shape[0], known, problems);
        if (!base.names().contains(module + ".bias")) {
          problems.add(
              "'" + module + "' has no bias in the base, to which lora_B's could be added");
        }
      }
    }
    findTokens(known, problems);
    findReplacements(known, problems);
    requireTrainedBiases(problems);
    for (String name : names()) {
      if (!known.contains(name)) {
        Optional<AdapterTensor> parsed = AdapterNames.parse(name);
        problems.add(
            "tensor '"
                + name
                + "' fits no module of the base that the configuration targets"
                + parsed.map(t -> " (" + t.kind() + " of " + t.modulePath() + ")").orElse(""));
      }
    }
    if (problems.isEmpty() && known.isEmpty()) {
      problems.add("holds no tensor for any module of the base: nothing would change");
    }
    refuse(problems);
  }

  private void findTokens(Set<String> known, List<String> problems) {
    long[] table = base.shape(CausalLm.EMBEDDING + ".weight");
    try {
      TrainableTokens on =
          extras().trainableTokens().on(base.config().tieWordEmbeddings(), table[0]);
      on.ids()
          .forEach(
              (path, ids) -> {
                long[] shape = {ids.size(), table[1]};
                require(AdapterNames.tokens(path), shape, known, problems);
                tokens.put(path, ids);
              });
    } catch (InvalidInputException e) {
      problems.addAll(e.problems());
    }
  }

  /** PEFT saves the weight of an adapted embedding or head too. */
  private void requireCopyFits(
      String module, boolean original, Set<String> known, List<String> problems) {
    String name = AdapterNames.name(module, Kind.BASE_LAYER);
    if (names().contains(name)) {
      known.add(name);
      String weight = module + ".weight";
      CopiedTable.Table own =
          (first, out, offset, count) -> base.read(weight, first, out, offset, count);
      if (original) {
        CopiedTable.problem(file, name, base.shape(weight), own).ifPresent(problems::add);
      }
    }
  }

  private void require(String name, long length, Set<String> known, List<String> problems) {
    require(name, new long[] {length}, known, problems);
  }

  private void require(String name, long[] shape, Set<String> known, List<String> problems) {
    known.add(name);
    if (!names().contains(name)) {
      problems.add("no tensor '" + name + "', which adapter_config.json asks for on this base");
      return;
    }
    long[] stored = file.tensor(name).dimensions();
    if (!Arrays.equals(stored, shape)) {
      problems.add(
          "tensor '"
              + name
              + "' has the shape "
              + Arrays.toString(stored)
              + ", expected "
              + Arrays.toString(shape)
              + " by the base and the rank in adapter_config.json"
              + AdapterNames.parse(name)
                  .map(t -> AdaptedTables.otherVocabulary(t.modulePath(), stored, shape))
                  .orElse(""));
      return;
    }
    OptionalLong bad = file.firstNonFinite(name);
    if (bad.isPresent()) {
      problems.add("tensor '" + name + "' is not finite at element " + bad.getAsLong());
    }
  }

  /** Modules that were trained whole, and biases. */
  private void findReplacements(Set<String> known, List<String> problems) {
    for (String name : names()) {
      AdapterTensor tensor = AdapterNames.parse(name).orElse(null);
      if (tensor == null || known.contains(name)) {
        continue;
      }
      String suffix =
          switch (tensor.kind()) {
            case WEIGHT -> ".weight";
            case BIAS, BASE_LAYER_BIAS -> ".bias";
            default -> null;
          };
      boolean saved = extras().saves(tensor.modulePath());
      boolean bias = ".bias".equals(suffix) && extras().bias() != AdapterExtras.Bias.NONE;
      String target = tensor.modulePath() + suffix;
      boolean inBase = base.names().contains(target) || target.equals(HEAD + ".weight");
      if (suffix != null && inBase && (saved || bias)) {
        require(name, base.shape(target), known, problems);
        replacements.put(target, name);
      }
    }
    for (String module : extras().modulesToSave()) {
      if (replacements.keySet().stream()
          .noneMatch(t -> extras().saves(t.replaceAll("\\.\\w+$", "")))) {
        problems.add(
            "no tensor of '" + module + "', which modules_to_save of adapter_config.json names");
      }
    }
  }

  private void requireTrainedBiases(List<String> problems) {
    for (String name : base.names()) {
      String module = name.replaceAll("\\.bias$", "");
      boolean trained =
          switch (extras().bias()) {
            case NONE -> false;
            case ALL -> true;
            case LORA_ONLY -> modules.contains(module);
          };
      if (trained && name.endsWith(".bias") && !replacements.containsKey(name)) {
        problems.add("no tensor for '" + name + "', which 'bias' of adapter_config.json asks for");
      }
    }
  }

  private void refuse(List<String> problems) {
    if (problems.isEmpty()) {
      return;
    }
    List<String> lines = new ArrayList<>();
    for (String problem : problems.subList(0, Math.min(MAX_LINES, problems.size()))) {
      lines.add(file.path() + ": " + problem);
    }
    if (problems.size() > MAX_LINES) {
      lines.add(file.path() + ": and " + (problems.size() - MAX_LINES) + " more like these");
    }
    throw new InvalidInputException(lines);
  }

  private Set<String> names() {
    return file.names();
  }

  public Path directory() {
    return directory;
  }

  public AdapterExtras extras() {
    return config.extras();
  }

  public AdapterConfig config() {
    return config;
  }

  /** Paths of the modules that carry A and B, in the model's order. */
  public List<String> modules() {
    return modules;
  }

  /** Names in the base of the tensors that are replaced. */
  public Set<String> replaced() {
    return Collections.unmodifiableSet(replacements.keySet());
  }

  /** By module path, the tokens whose rows in its weight are replaced; none twice. */
  public Map<String, List<Integer>> tokens() {
    return Collections.unmodifiableMap(tokens);
  }

  /** The rows of a module's {@link #tokens}, {@code [tokens, width]} row-major. */
  public float[] tokenRows(String module) {
    return values(AdapterNames.tokens(module));
  }

  public int rank(String module) {
    return config.lora().rankOf(module);
  }

  /** The factor of B·A. */
  public double scaling(String module) {
    return config.lora().scaling(module);
  }

  /**
   * What B·A of a module's weight {@code [rows, columns]} is on the right, {@code [r, columns]}
   * row-major: A, of an embedding, which computes with the transposed weight, Bᵀ. Owned by the
   * caller, as all that is read.
   */
  public float[] right(String module) {
    return AdapterNames.isEmbedding(module)
        ? transposed(AdapterNames.loraB(module))
        : values(AdapterNames.loraA(module));
  }

  /** The same on the left, {@code [rows, r]} row-major: B, of an embedding Aᵀ. */
  public float[] left(String module) {
    return AdapterNames.isEmbedding(module)
        ? transposed(AdapterNames.loraA(module))
        : values(AdapterNames.loraB(module));
  }

  private float[] transposed(String name) {
    float[] values = values(name);
    int columns = (int) file.tensor(name).dimensions()[1];
    int rows = values.length / columns;
    float[] result = new float[values.length];
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c++) {
        result[c * rows + r] = values[r * columns + c];
      }
    }
    return result;
  }

  /** DoRA's, {@code [out]}. */
  public float[] magnitudes(String module) {
    return values(AdapterNames.name(module, Kind.LORA_MAGNITUDE_VECTOR));
  }

  /** B's bias, {@code [out]}. */
  public float[] loraBias(String module) {
    return values(AdapterNames.name(module, Kind.LORA_B_BIAS));
  }

  private float[] values(String name) {
    float[] values = new float[Math.toIntExact(file.tensor(name).elements())];
    file.readFloats(name, 0, values, 0, values.length);
    return values;
  }

  /** Reads elements of a tensor that replaces the base's. */
  public void readReplacement(String name, long first, float[] out, int offset, int count) {
    file.readFloats(replacements.get(name), first, out, offset, count);
  }

  @Override
  public void close() {
    file.close();
  }
}
