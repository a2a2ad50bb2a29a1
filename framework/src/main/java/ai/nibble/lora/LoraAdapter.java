package ai.nibble.lora;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.nn.Linear;
import ai.nibble.nn.LowRank;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Weight;
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
 * The low-rank updates on a model's linears: what is trained. Closing it takes them off the model
 * and frees their memory; close it before the model.
 */
public final class LoraAdapter implements Trainable {
  private final CausalLm model;
  private final LoraConfig config;
  private final List<String> modules;
  private final ParameterSet parameters;
  private final Map<String, LowRank> updates = new LinkedHashMap<>();

  private LoraAdapter(CausalLm model, LoraConfig config, List<String> modules) {
    this.model = model;
    this.config = config;
    this.modules = modules;
    Map<String, long[]> shapes = new LinkedHashMap<>();
    for (String path : modules) {
      Linear linear = model.linears().get(path);
      int r = rank(config, linear);
      shapes.put(AdapterNames.loraA(path), new long[] {r, linear.weight().inFeatures()});
      shapes.put(AdapterNames.loraB(path), new long[] {linear.weight().outFeatures(), r});
    }
    this.parameters = new ParameterSet(shapes, model.device());
    for (String path : modules) {
      Parameter a = parameters.get(AdapterNames.loraA(path));
      Parameter b = parameters.get(AdapterNames.loraB(path));
      updates.put(path, new LowRank(a, b, config.scaling(path), config.dropout()));
    }
    attach();
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
    LoraConfig resolved = resolve(model, config);
    LoraAdapter adapter = new LoraAdapter(model, resolved, select(model, resolved));
    AdapterInit init = new AdapterInit(config.initLoraWeights(), seed);
    for (String path : adapter.modules) {
      Parameter a = adapter.parameters.get(AdapterNames.loraA(path));
      FloatBuffer values = FloatBuffer.allocate(Math.toIntExact(a.value().numel()));
      init.fill(path, values, a.value().size(0), a.value().size(1));
      a.value().setFloats(values);
    }
    return adapter;
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
  }

  /**
   * Computes something with a model whose updates count nothing. The products are those of the
   * adapted model, with zeros for {@code s·B}: so an adapter that has learned nothing makes no
   * difference at all, not even in how sums are rounded.
   *
   * @param body is not to attach or detach adapters
   */
  public <T> T muted(Supplier<T> body) {
    Map<String, Optional<LowRank>> before = new LinkedHashMap<>();
    updates.forEach(
        (path, update) -> {
          Linear linear = model.linears().get(path);
          before.put(path, linear.adapter());
          linear.attach(new LowRank(update.a(), update.b(), 0, 0));
        });
    try {
      return body.get();
    } finally {
      before.forEach((path, update) -> model.linears().get(path).attach(update.orElse(null)));
    }
  }

  /** The configuration, its targets resolved to names that need no model to understand. */
  public LoraConfig config() {
    return config;
  }

  /** Paths of the adapted modules, in the model's order. */
  public List<String> modules() {
    return List.copyOf(modules);
  }

  /** All A and B under PEFT's names, float32. */
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
    parameters.close();
  }
}
