package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Adaptable;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Quant8Weight;
import ai.nibble.nn.TrainedRows;
import ai.nibble.nn.Weight;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * The low-rank updates on a model's linears, and the embedding and output head where they are
 * trained whole beside them: what is trained. Closing it takes them off the model and frees their
 * memory; close it before the model.
 */
public final class LoraAdapter implements Trainable {
  private final CausalLm model;
  private final LoraConfig config;
  private final List<String> modules;
  private final ParameterSet parameters;
  private final Map<String, LowRank> updates = new LinkedHashMap<>();

  /** By module path, the tables that are trained whole. */
  private final Map<String, DenseWeight> whole = new LinkedHashMap<>();

  /** By module path, the rows of tables that are trained by themselves. */
  private final Map<String, TrainedRows> rows = new LinkedHashMap<>();

  private final AdapterParts parts = new AdapterParts(updates, whole, rows);

  private LoraAdapter(CausalLm model, LoraConfig config, List<String> modules) {
    this.model = model;
    this.config = config;
    this.modules = modules;
    if (config.initLoraWeights().isSubtracted() && config.dropout() > 0) {
      throw new InvalidInputException(
          "lora_dropout is "
              + config.dropout()
              + ", expected 0 with init_lora_weights: "
              + config.initLoraWeights().text());
    }
    AdaptedTables.require(config, modules);
    this.parameters =
        ParameterSet.over(shapes(model, config, modules), name -> device(model, name));
    for (String path : modules) {
      Parameter a = parameters.get(AdapterNames.loraA(path));
      Parameter b = parameters.get(AdapterNames.loraB(path));
      Optional<Parameter> m = Optional.ofNullable(parameters.get(AdapterNames.magnitude(path)));
      Optional<LowRank.Fixed> fixed =
          config.initLoraWeights().isSubtracted() ? Optional.of(fixed(a, b)) : Optional.empty();
      updates.put(path, new LowRank(a, b, config.scaling(path), config.dropout(), m, fixed));
    }
    for (String path : WholeModules.of(config)) {
      whole.put(path, new DenseWeight(parameters.get(WholeModules.name(path))));
    }
    tokens(model, config)
        .forEach(
            (path, ids) ->
                rows.put(
                    path,
                    new TrainedRows(
                        ids.stream().mapToInt(Integer::intValue).toArray(),
                        parameters.get(AdapterNames.tokens(path)))));
    attach();
  }

  /** Where a tensor is: with its module, whose weight may be another's, as a tied head's. */
  static Device device(CausalLm model, String name) {
    String path = AdapterNames.parse(name).orElseThrow().modulePath();
    return name.equals(WholeModules.name(path))
        ? AdapterNames.device(name, model.placement())
        : model.adaptables().get(path).weight().device();
  }

  /** A pair of zeros of the same shapes. */
  private LowRank.Fixed fixed(Parameter a, Parameter b) {
    return new LowRank.Fixed(zerosLike(a), zerosLike(b));
  }

  private Tensor zerosLike(Parameter p) {
    Tensor value = p.value();
    return parameters.own(Tensor.empty(value.device(), DType.FLOAT32, value.shape()).zero());
  }

  private static Map<String, long[]> shapes(
      CausalLm model, LoraConfig config, List<String> modules) {
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (String path : modules) {
      Adaptable module = model.adaptables().get(path);
      int r = rank(config, module);
      shapes.put(AdapterNames.loraA(path), new long[] {r, module.inFeatures()});
      shapes.put(AdapterNames.loraB(path), new long[] {module.outFeatures(), r});
      if (config.extras().useDora()) {
        requireDoraFits(module);
        shapes.put(AdapterNames.magnitude(path), new long[] {module.outFeatures()});
      }
    }
    for (String path : WholeModules.of(config)) {
      shapes.put(WholeModules.name(path), model.table(path).tensor().shape());
    }
    tokens(model, config)
        .forEach(
            (path, ids) -> {
              long width = model.table(path).inFeatures();
              shapes.put(AdapterNames.tokens(path), new long[] {ids.size(), width});
            });
    WholeModules.requireFit(shapes.values());
    return shapes;
  }

  private static Map<String, List<Integer>> tokens(CausalLm model, LoraConfig config) {
    long vocabulary = model.table(CausalLm.EMBEDDING).outFeatures();
    boolean tied = model.config().tieWordEmbeddings();
    return config.extras().trainableTokens().on(tied, vocabulary).ids();
  }

  private static void requireDoraFits(Adaptable module) {
    if (module.weight() instanceof Quant8Weight) {
      throw new InvalidInputException(
          "use_dora: '"
              + module.path()
              + "' is held in 8 bits, which is not supported yet: hold the base in 4 bits or as it"
              + " is");
    }
  }

  private static int rank(LoraConfig config, Adaptable module) {
    Weight weight = module.weight();
    return config.rankOf(module.path(), weight.outFeatures(), weight.inFeatures());
  }

  /**
   * Puts new adapters on a model: A random, B zero, so the model computes what it did.
   *
   * @param seed decides A, the same on every machine
   * @throws InvalidInputException if a target selects nothing; the message lists what exists
   */
  public static LoraAdapter inject(CausalLm model, LoraConfig config, long seed) {
    return inject(model, config, seed, Optional.empty());
  }

  /**
   * As the other {@code inject}, with what the model was loaded from: {@link
   * InitLoraWeights.Kind#LOFTQ} asks what its quantisation has lost.
   *
   * @param source of the model's weights; stays the caller's
   */
  public static LoraAdapter inject(
      CausalLm model, LoraConfig config, long seed, WeightSource source) {
    return inject(model, config, seed, Optional.of(source));
  }

  private static LoraAdapter inject(
      CausalLm model, LoraConfig config, long seed, Optional<WeightSource> source) {
    LoraAdapter adapter = untrained(model, config);
    try {
      adapter.beginning().draw(seed, source);
      adapter.copyTables();
      adapter.copyRows();
      return adapter;
    } catch (RuntimeException e) {
      adapter.close();
      throw e;
    }
  }

  private Beginning beginning() {
    return new Beginning(model, config, updates);
  }

  /** The tables that are trained whole begin as the model's own. */
  private void copyTables() {
    whole.forEach(
        (path, table) -> {
          model.replace(path, null);
          table.tensor().copyFrom(model.table(path).tensor());
          model.replace(path, table);
        });
  }

  /** Rows that are trained begin as the model's own. */
  private void copyRows() {
    rows.forEach(
        (path, trained) -> {
          DenseWeight table = model.table(path);
          table.attach((TrainedRows) null);
          try (Tensor own = trained.in(table.tensor())) {
            trained.values().value().copyFrom(own);
          }
          table.attach(trained);
        });
  }

  /**
   * What {@link #inject} began the run of a checkpoint with, where that is taken back: so nothing
   * is decomposed again, which might give other bits.
   *
   * @param saved the adapter of that checkpoint
   * @throws InvalidInputException if it is of another beginning
   */
  public static LoraAdapter resume(CausalLm model, LoraConfig config, Path saved) {
    if (!config.initLoraWeights().isSubtracted()) {
      throw new IllegalArgumentException(config.initLoraWeights() + " is not taken back");
    }
    LoraAdapter adapter = untrained(model, config);
    try {
      adapter.beginning().take(saved);
      adapter.copyTables();
      adapter.copyRows();
      return adapter;
    } catch (RuntimeException e) {
      adapter.close();
      throw e;
    }
  }

  /**
   * The same adapter on another copy of the model: its values as they are now, and what it began
   * with.
   *
   * @param other loaded as this one's model was, on the same device or another
   * @return the caller's to close
   */
  public LoraAdapter copyTo(CausalLm other) {
    LoraAdapter copy = new LoraAdapter(other, config, modules);
    copy.parameters.values().copyFrom(parameters.values());
    updates.forEach(
        (path, update) ->
            update
                .fixed()
                .ifPresent(
                    pair -> {
                      LowRank.Fixed there = copy.updates.get(path).fixed().orElseThrow();
                      there.a().copyFrom(pair.a());
                      there.b().copyFrom(pair.b());
                    }));
    return copy;
  }

  /** What {@link #inject} makes, all of it zeros. */
  static LoraAdapter untrained(CausalLm model, LoraConfig config) {
    LoraConfig resolved = resolve(model, config);
    return new LoraAdapter(model, resolved, select(model, resolved));
  }

  /** Adapters with zeros in both matrices, for a reader to fill. */
  static LoraAdapter empty(CausalLm model, LoraConfig config) {
    TargetMatcher matcher = new TargetMatcher(config);
    // an adapter made elsewhere may name modules that this model happens not to have
    List<String> modules =
        model.adaptables().keySet().stream()
            .filter(path -> matcher.targets(path) && !config.extras().saves(path))
            .toList();
    return new LoraAdapter(model, config, modules);
  }

  private static List<String> select(CausalLm model, LoraConfig config) {
    return new TargetMatcher(config).select(model.adaptables().keySet());
  }

  private static LoraConfig resolve(CausalLm model, LoraConfig config) {
    return new TargetMatcher(config).resolve(model.adaptables().keySet());
  }

  /**
   * Switches the adapters on, as they are to begin with. One that another adapter left on the same
   * module goes.
   */
  public void attach() {
    parts.attach(model);
  }

  /**
   * Switches the adapters off: the model computes as without them. What another adapter put on the
   * model since stays.
   */
  public void detach() {
    parts.detach(model);
  }

  /**
   * Computes something with a model whose updates count nothing: the base, also where magnitudes, a
   * beginning that is taken back or whole tables are trained. The products are those of the adapted
   * model, with zeros for {@code s·B}: so a plain adapter that has learned nothing makes no
   * difference at all, not even in how sums are rounded. Afterwards the adapters are on.
   *
   * @param body is not to attach or detach adapters
   */
  public <T> T muted(Supplier<T> body) {
    Map<String, LowRank> zeros = new LinkedHashMap<>();
    updates.forEach((path, update) -> zeros.put(path, new LowRank(update.a(), update.b(), 0, 0)));
    return instead(new AdapterParts(zeros, Map.of(), Map.of()), body);
  }

  /** Computes something with other parts on the model; afterwards its own are on. */
  <T> T instead(AdapterParts others, Supplier<T> body) {
    parts.detach(model);
    try {
      others.attach(model);
      return body.get();
    } finally {
      others.detach(model);
      parts.attach(model);
    }
  }

  /** A copy of the adapter as it is now, which stays so and is freed with this one. */
  public FrozenAdapter frozen() {
    return new FrozenAdapter(this, parts);
  }

  /** The configuration, its targets resolved to names that need no model to understand. */
  public LoraConfig config() {
    return config;
  }

  /** Paths of the adapted modules, in the model's order. */
  public List<String> modules() {
    return List.copyOf(modules);
  }

  /** What is wrong with a copy of an adapted table in a file: see {@link CopiedTable}. */
  Optional<String> copiedTable(SafetensorsFile file, String name, String path) {
    Weight weight = model.adaptables().get(path).weight();
    long[] shape = {weight.outFeatures(), weight.inFeatures()};
    return CopiedTable.problem(file, name, shape, CopiedTable.of(model, path));
  }

  /** The update of a module; null where it has none. */
  LowRank update(String path) {
    return updates.get(path);
  }

  /** What is saved, by name: tensors that the one who gets them closes. */
  Map<String, Supplier<Tensor>> tensors() {
    Map<String, Supplier<Tensor>> tensors = new LinkedHashMap<>();
    parameters.parameters().forEach(p -> tensors.put(p.name(), p.value()::share));
    updates.forEach(
        (path, update) -> {
          tensors.put(AdapterNames.loraA(path), update::down);
          tensors.put(AdapterNames.loraB(path), update::up);
        });
    return tensors;
  }

  /** The configuration of what is saved. */
  LoraConfig savedConfig() {
    return config.initLoraWeights().isSubtracted() ? config.doubled() : config;
  }

  /** All A and B, and magnitudes and whole weights where there are, under PEFT's names, float32. */
  @Override
  public ParameterSet parameters() {
    return parameters;
  }

  /** Names of the matrices that began as zeros and whose gradient is zero or not finite. */
  @Override
  public List<String> withoutGradient() {
    List<String> names = new ArrayList<>();
    for (String path : modules) {
      Parameter zeros = parameters.get(AdapterNames.beginsAsZeros(path));
      if (!hasGradient(FloatBuffer.wrap(zeros.grad().toFloats()))) {
        names.add(zeros.name());
      }
    }
    return names;
  }

  private static boolean hasGradient(FloatBuffer grad) {
    boolean any = false;
    for (int i = 0; i < grad.limit(); i++) {
      float g = grad.get(i);
      if (!Float.isFinite(g)) {
        return false;
      }
      any |= g != 0;
    }
    return any;
  }

  @Override
  public Map<String, Double> updateNorms() {
    Map<String, Double> norms = new LinkedHashMap<>();
    updates.forEach((path, update) -> norms.put(path, UpdateNorm.of(update)));
    return norms;
  }

  /** Writes a trained adapter: see {@link AdapterStore#save}. */
  @Override
  public void save(Path directory, String baseModel) throws IOException {
    AdapterStore.save(this, directory, baseModel, true);
  }

  @Override
  public void saveUnfinished(Path directory, String baseModel) throws IOException {
    AdapterStore.save(this, directory, baseModel, false);
  }

  @Override
  public void close() {
    detach();
    whole.values().forEach(DenseWeight::close);
    parameters.close();
  }
}
