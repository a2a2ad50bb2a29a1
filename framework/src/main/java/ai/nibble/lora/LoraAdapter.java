package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant8Weight;
import ai.nibble.nn.Weight;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
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
    this.parameters = new ParameterSet(shapes(model, config, modules), model.device());
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
    attach();
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
      Linear linear = model.linears().get(path);
      int r = rank(config, linear);
      shapes.put(AdapterNames.loraA(path), new long[] {r, linear.weight().inFeatures()});
      shapes.put(AdapterNames.loraB(path), new long[] {linear.weight().outFeatures(), r});
      if (config.extras().useDora()) {
        requireDoraFits(linear);
        shapes.put(AdapterNames.magnitude(path), new long[] {linear.weight().outFeatures()});
      }
    }
    for (String path : WholeModules.of(config)) {
      shapes.put(WholeModules.name(path), model.table(path).tensor().shape());
    }
    WholeModules.requireFit(shapes.values());
    return shapes;
  }

  private static void requireDoraFits(Linear linear) {
    if (linear.weight() instanceof Quant8Weight) {
      throw new InvalidInputException(
          "use_dora: '"
              + linear.path()
              + "' is held in 8 bits, which is not supported yet: hold the base in 4 bits or as it"
              + " is");
    }
  }

  private static int rank(LoraConfig config, Linear linear) {
    Weight weight = linear.weight();
    return config.rankOf(linear.path(), weight.outFeatures(), weight.inFeatures());
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
    LoraConfig resolved = resolve(model, config);
    LoraAdapter adapter = new LoraAdapter(model, resolved, select(model, resolved));
    try {
      adapter.begin(new AdapterInit(config.initLoraWeights(), seed), source);
      return adapter;
    } catch (RuntimeException e) {
      adapter.close();
      throw e;
    }
  }

  private void begin(AdapterInit init, Optional<WeightSource> source) {
    for (String path : modules) {
      LowRank update = updates.get(path);
      Tensor a = update.a().value();
      Tensor b = update.b().value();
      AdapterInit.Place place =
          new AdapterInit.Place(
              path, (int) b.size(0), (int) a.size(1), update.trainedRank(), update.scaling());
      AdapterInit.Matrices first = init.of(place, () -> decomposed(path, source));
      a.setFloats(FloatBuffer.wrap(first.a()));
      b.setFloats(FloatBuffer.wrap(first.b()));
      update.fixed().ifPresent(pair -> subtract(pair, first));
      if (config.extras().useDora()) {
        initMagnitude(path);
      }
    }
    whole.forEach(
        (path, table) -> {
          model.replace(path, null);
          table.tensor().copyFrom(model.table(path).tensor());
          model.replace(path, table);
        });
  }

  private static void subtract(LowRank.Fixed pair, AdapterInit.Matrices first) {
    float[] minus = first.b().clone();
    for (int i = 0; i < minus.length; i++) {
      minus[i] = -minus[i];
    }
    pair.a().setFloats(FloatBuffer.wrap(first.a()));
    pair.b().setFloats(FloatBuffer.wrap(minus));
  }

  /** The weight as it is held or, for LoftQ, what the stored one has more; float32 on the CPU. */
  private Tensor decomposed(String path, Optional<WeightSource> source) {
    Weight weight = model.linears().get(path).weight();
    Precision wide = Precision.of(DType.FLOAT32);
    Tensor values;
    try (Tensor held =
        Tensor.empty(weight.device(), DType.FLOAT32, weight.outFeatures(), weight.inFeatures())) {
      weight.writeTo(held, 0, wide);
      values = held.to(Device.CPU);
    }
    if (config.initLoraWeights().kind() != InitLoraWeights.Kind.LOFTQ) {
      return values;
    }
    try (values) {
      return lost(path, values, source);
    }
  }

  private static Tensor lost(String path, Tensor held, Optional<WeightSource> source) {
    if (source.isEmpty()) {
      throw new IllegalArgumentException("LoftQ needs the source of the weights");
    }
    float[] stored = new float[Math.toIntExact(held.numel())];
    source.get().read(path + ".weight", 0, stored, 0, stored.length);
    float[] values = held.toFloats();
    for (int i = 0; i < stored.length; i++) {
      stored[i] -= values[i];
    }
    return Tensor.of(stored, held.shape());
  }

  /**
   * The norms of the rows of the weight and the product that the adapter begins with. Where that is
   * zero, or taken back, they are the weight's own.
   */
  private void initMagnitude(String path) {
    try (Tensor norms = model.linears().get(path).rowNorms(model.precision())) {
      float[] values = norms.toFloats();
      for (int row = 0; row < values.length; row++) {
        if (values[row] == 0) {
          throw new InvalidInputException(
              "use_dora: '"
                  + path
                  + "' has only zeros in row "
                  + row
                  + " of its weight, which has no direction to scale: leave the module out of"
                  + " lora_target_modules");
        }
      }
      parameters.get(AdapterNames.magnitude(path)).value().copyFrom(norms);
    }
  }

  /**
   * As {@link #inject} began a run, but for the trained values, which are zeros and a checkpoint's
   * to set.
   *
   * @param saved the adapter of that checkpoint
   * @throws InvalidInputException if it is of another beginning
   */
  public static LoraAdapter resume(CausalLm model, LoraConfig config, Path saved) {
    LoraConfig resolved = resolve(model, config);
    LoraAdapter adapter = new LoraAdapter(model, resolved, select(model, resolved));
    try {
      if (resolved.initLoraWeights().isSubtracted()) {
        adapter.takeFixed(saved);
      }
      return adapter;
    } catch (RuntimeException e) {
      adapter.close();
      throw e;
    }
  }

  /** Adapters with zeros in both matrices, for a reader to fill. */
  static LoraAdapter empty(CausalLm model, LoraConfig config) {
    TargetMatcher matcher = new TargetMatcher(config);
    // an adapter made elsewhere may name modules that this model happens not to have
    List<String> modules = model.linears().keySet().stream().filter(matcher::targets).toList();
    return new LoraAdapter(model, config, modules);
  }

  private static List<String> select(CausalLm model, LoraConfig config) {
    return new TargetMatcher(config).select(model.linears().keySet(), Optional.empty());
  }

  private static LoraConfig resolve(CausalLm model, LoraConfig config) {
    return new TargetMatcher(config).resolve(model.linears().keySet(), Optional.empty());
  }

  /**
   * Switches the adapters on, as they are to begin with. One that another adapter left on the same
   * module goes.
   */
  public void attach() {
    updates.forEach((path, update) -> model.linears().get(path).attach(update));
    whole.forEach(model::replace);
  }

  /**
   * Switches the adapters off: the model computes as without them. What another adapter put on the
   * model since stays.
   */
  public void detach() {
    updates.forEach(
        (path, update) -> {
          Linear linear = model.linears().get(path);
          if (linear.adapter().filter(on -> on == update).isPresent()) {
            linear.attach(null);
          }
        });
    whole.forEach(
        (path, table) -> {
          if (model.table(path) == table) {
            model.replace(path, null);
          }
        });
  }

  /** The configuration, its targets resolved to names that need no model to understand. */
  public LoraConfig config() {
    return config;
  }

  /** Paths of the adapted modules, in the model's order. */
  public List<String> modules() {
    return List.copyOf(modules);
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

  /** What training began with and takes back, from an adapter that was saved since. */
  private void takeFixed(Path directory) {
    try (SafetensorsFile file = SafetensorsFile.open(AdapterStore.weights(directory))) {
      updates.forEach(
          (path, update) -> {
            LowRank.Fixed pair = update.fixed().orElseThrow();
            takeSecondHalf(file, AdapterNames.loraA(path), pair.a(), 0);
            takeSecondHalf(file, AdapterNames.loraB(path), pair.b(), 1);
          });
    }
  }

  private static void takeSecondHalf(SafetensorsFile file, String name, Tensor into, int dim) {
    long[] shape = into.shape();
    long half = shape[dim];
    shape[dim] = 2 * half;
    if (!file.names().contains(name) || !Arrays.equals(file.tensor(name).dimensions(), shape)) {
      throw new InvalidInputException(
          file.path()
              + ": no tensor '"
              + name
              + "' of the shape "
              + Arrays.toString(shape)
              + ", with which this run began: begin anew");
    }
    float[] values = new float[Math.toIntExact(into.numel() * 2)];
    file.readFloats(name, 0, values, 0, values.length);
    try (Tensor all = Tensor.of(values, shape);
        Tensor second = all.narrow(dim, half, half)) {
      into.copyFrom(second);
    }
  }

  /** All A and B, and magnitudes and whole weights where there are, under PEFT's names, float32. */
  @Override
  public ParameterSet parameters() {
    return parameters;
  }

  /** Names of the B matrices whose gradient is zero or not finite. */
  @Override
  public List<String> withoutGradient() {
    List<String> names = new ArrayList<>();
    for (String path : modules) {
      Parameter b = parameters.get(AdapterNames.loraB(path));
      if (!hasGradient(FloatBuffer.wrap(b.grad().toFloats()))) {
        names.add(b.name());
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
