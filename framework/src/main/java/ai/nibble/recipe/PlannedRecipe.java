package ai.nibble.recipe;

import ai.nibble.data.EpochPlan;
import ai.nibble.data.EpochSampler;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetMatcher;
import ai.nibble.lora.WholeModules;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelShape;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSizes;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Extent;
import ai.nibble.nn.Precision;
import ai.nibble.nn.TableShape;
import ai.nibble.plan.Budget;
import ai.nibble.plan.DiskPlan;
import ai.nibble.plan.DrawnBatches;
import ai.nibble.plan.Host;
import ai.nibble.plan.MicroBatch;
import ai.nibble.plan.PartSizes;
import ai.nibble.plan.PlannedRun;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.stored.StoredMatrix;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import ai.nibble.train.TrainSettings;
import ai.nibble.train.log.ProcessMemory;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** What a recipe's memory follows from: its model's sizes, its rows, and where it computes. */
final class PlannedRecipe {
  private static final String HEAD = "lm_head.weight";

  /** A merge's proof reads the output head in pieces of so many rows, of two models. */
  private static final long MERGE_ROWS = 2L << 13;

  private static final long BYTES_A_ROW = 32;

  /** Two numbers and the array that they are in. */
  private static final long BYTES_A_REFERENCE = 40;

  private static final int ANSWERS_AT_ONCE = 32;

  private final Recipe recipe;
  private final RecipeRows rows;
  private final TrainSettings settings;
  private final Device.Type where;
  private final Precision precision;
  private final Budget budget;

  /**
   * @param device that is computed on, if it is here
   * @param pretended whether a GPU is meant that is not
   */
  PlannedRecipe(
      Recipe recipe,
      RecipeRows rows,
      TrainSettings settings,
      Device device,
      boolean pretended,
      Budget budget) {
    this(
        recipe,
        rows,
        settings,
        pretended ? Device.Type.CUDA : device.type(),
        precision(recipe, device, pretended),
        budget);
  }

  private PlannedRecipe(
      Recipe recipe,
      RecipeRows rows,
      TrainSettings settings,
      Device.Type where,
      Precision precision,
      Budget budget) {
    this.recipe = recipe;
    this.rows = rows;
    this.settings = settings;
    this.where = where;
    this.precision = precision;
    this.budget = budget;
  }

  /** The same on another kind of device, in the same compute dtype. */
  PlannedRecipe on(Device.Type kind) {
    DType compute = precision.compute();
    Precision there =
        kind == Device.Type.CPU
            ? Precision.of(compute, Device.CPU)
            : new Precision(compute, compute);
    return kind == where ? this : new PlannedRecipe(recipe, rows, settings, kind, there, budget);
  }

  /** The device that the memory is of. */
  Device.Type where() {
    return where;
  }

  /** The dtypes of the computation. */
  Precision precision() {
    return precision;
  }

  private static Precision precision(Recipe recipe, Device device, boolean pretended) {
    Optional<DType> asked = recipe.quantization().computeDtype().type();
    if (pretended) {
      DType compute = asked.orElse(DType.BFLOAT16);
      return new Precision(compute, compute);
    }
    DType compute = asked.orElseGet(() -> LoadOptions.autoComputeDtype(device));
    return LoadOptions.unquantized(compute).on(device).precision();
  }

  /** The base's headers, the caller's to close. */
  WeightSource source() {
    return RunBase.stored(recipe, doing -> {}).open(notice -> {});
  }

  /**
   * A run with other settings than the recipe's.
   *
   * @param microBatch rows of a micro-batch
   * @param accumulation micro-batches of a step
   */
  PlannedRun run(
      WeightSource source, Optional<QuantConfig> quantization, int microBatch, int accumulation) {
    boolean all = recipe.adapter() == Recipe.Adapter.NONE;
    Trained trained = all ? Trained.all(source) : Trained.adapter(recipe, source);
    // what an adapter began with and takes back lies beside it
    int pairs = recipe.lora().initLoraWeights().isSubtracted() ? 2 : 1;
    long beside = (pairs - 1) * trained.beside(source.config()) + frozen(trained.values);
    DType held = all ? DType.FLOAT32 : source.heldDtype("model.embed_tokens.weight");
    ModelShape model = shape(source, trained, held, quantization, pairs);
    DrawnBatches drawn =
        DrawnBatches.of(
            new EpochSampler(RunSettings.plan(recipe, rows.training()), microBatch),
            (long) settings.totalSteps() * accumulation);
    int threads = Torch.threads();
    boolean device = where != Device.Type.CPU;
    return new PlannedRun(
        model,
        all
            ? new WeightSizes(Map.of(), 0)
            : WeightSizes.of(source, quantization, where)
                .withFrozenAdapter(beside * DType.FLOAT32.bytes()),
        trained.values,
        pairs * trained.largest,
        accumulation,
        Math.round(trained.values * rememberedAValue()),
        drawn.large().stream().map(this::withPrompts).toList(),
        rows.eval().isEmpty() ? Optional.empty() : Optional.of(largestEvaluated()),
        generation(source, quantization),
        rowBytes(),
        all ? 0 : merging(source, trained),
        recipe.method().learnsFromPreferences(),
        batch -> new Extent(batch.sequenceStarts(), precision, where, device, threads),
        device ? Host.device() : Host.cpu(ProcessMemory.residentBytes(), drawn.shapes()));
  }

  /** Of trained values, those that the reference's copy has. */
  private long frozen(long values) {
    return RecipeObjective.keepsStart(recipe) ? values : 0;
  }

  /** What the optimizer remembers; pages of a device make room when activations need it. */
  private double rememberedAValue() {
    return where != Device.Type.CPU && settings.optimizer().isPaged()
        ? 0
        : settings.optimizer().bytesAValue();
  }

  /** Sizes of the model by its parts, for placing them. */
  PartSizes parts(WeightSource source, Optional<QuantConfig> quantization) {
    boolean all = recipe.adapter() == Recipe.Adapter.NONE;
    Map<String, Long> values = new HashMap<>();
    Map<String, WeightSizes> weights = new HashMap<>();
    if (all) {
      for (String name : source.names()) {
        values.merge(PartSizes.part(name), numel(source.shape(name)), Long::sum);
      }
    } else {
      Trained trained = Trained.adapter(recipe, source);
      trained.byModule.forEach((path, n) -> values.merge(PartSizes.part(path), n, Long::sum));
      boolean taken = recipe.lora().initLoraWeights().isSubtracted();
      WeightSizes.byPart(source, quantization, where, PartSizes::part)
          .forEach(
              (part, sizes) -> {
                long beside = taken ? trained.beside(part) : 0;
                beside += frozen(values.getOrDefault(part, 0L));
                weights.put(part, sizes.withFrozenAdapter(beside * DType.FLOAT32.bytes()));
              });
    }
    return new PartSizes(
        weights,
        values,
        rememberedAValue(),
        cached(source.config()) / source.config().numHiddenLayers());
  }

  /** What the run writes of its weights. */
  DiskPlan disk(WeightSource source) {
    boolean all = recipe.adapter() == Recipe.Adapter.NONE;
    Trained trained = all ? Trained.all(source) : Trained.adapter(recipe, source);
    int pairs = recipe.lora().initLoraWeights().isSubtracted() ? 2 : 1;
    long result =
        all
            ? trained.values * ModelStore.savedDtype(source.config()).bytes()
            : (trained.values + (pairs - 1) * trained.beside(source.config()))
                * DType.FLOAT32.bytes();
    double state = DType.FLOAT32.bytes() + settings.optimizer().savedBytesAValue();
    return DiskPlan.of(
        LoftqBase.isNeeded(recipe)
            ? WeightSizes.of(source, recipe.quantization().config(), Device.Type.CPU).total()
            : 0,
        result,
        result + Math.round(trained.values * state),
        settings.saveSteps() == 0 ? 0 : settings.totalSteps() / settings.saveSteps(),
        settings.saveTotalLimit(),
        settings.end().loadBest(),
        OutputFolder.freeBytes(recipe.output()));
  }

  private ModelShape shape(
      WeightSource source,
      Trained trained,
      DType held,
      Optional<QuantConfig> quantization,
      int pairs) {
    Optional<QuantConfig> settled = source.settle(quantization, notice -> {});
    ModelShape.Linears linears =
        new ModelShape.Linears(
            path -> trained.ranks.getOrDefault(path, 0) * pairs,
            recipe.lora().dropout() > 0,
            path -> isInt8(source, settled, path),
            recipe.lora().useDora());
    ModelShape shape =
        ModelShape.of(source.config(), held, recipe.adapter() == Recipe.Adapter.NONE, linears);
    // a head in codes is converted for each product, as one in another dtype is
    boolean inCodes = !source.config().tieWordEmbeddings() && source.quantized(HEAD).isPresent();
    boolean drops = recipe.lora().dropout() > 0;
    TableShape head = inCodes ? shape.head().withHeld(DType.UINT8) : shape.head();
    return shape
        .withTables(
            shape
                .embedding()
                .withUpdate(linears.rank().applyAsInt(CausalLm.EMBEDDING), false)
                .withRows(trained.rows(CausalLm.EMBEDDING, false)),
            head.withUpdate(linears.rank().applyAsInt(CausalLm.HEAD), drops)
                .withRows(trained.rows(CausalLm.HEAD, source.config().tieWordEmbeddings())))
        .withTrained(
            trained.whole.contains(CausalLm.EMBEDDING), trained.whole.contains(CausalLm.HEAD));
  }

  /** Where the chosen answers' prompts are learned, too: as if all prompts were. */
  private MicroBatch withPrompts(MicroBatch batch) {
    boolean learned =
        recipe.method().learnsFromPreferences()
            && recipe.data().trainOnInputs()
            && (recipe.method() == Recipe.Method.ORPO || recipe.preference().entropyWeight() > 0);
    return learned
        ? new MicroBatch(batch.sequenceStarts(), batch.tokens() - batch.sequences())
        : batch;
  }

  private static boolean isInt8(
      WeightSource source, Optional<QuantConfig> quantization, String path) {
    return source
        .quantized(path + ".weight")
        .map(StoredMatrix::isInt8)
        .orElseGet(
            () ->
                quantization.isPresent()
                    && !(quantization.get() instanceof Quant4Config)
                    && quantization.get().quantizes(path));
  }

  private MicroBatch largestEvaluated() {
    EpochPlan plan = new EpochPlan(rows.eval(), settings.evalOrder(), settings.seed());
    int batches = (plan.units(0) - 1) / settings.evalBatchSize() + 1;
    return DrawnBatches.of(new EpochSampler(plan, settings.evalBatchSize()), batches).largest();
  }

  /**
   * What is trained.
   *
   * @param ranks of adapters by module path
   * @param rows by module path, how many rows are trained by themselves
   * @param whole modules that are trained whole
   * @param values of all of it
   * @param largest values of one tensor
   * @param byModule values by module path, of adapters
   */
  private record Trained(
      Map<String, Integer> ranks,
      Map<String, Integer> rows,
      List<String> whole,
      long values,
      long largest,
      Map<String, Long> byModule) {
    /** Rows of a table that are trained by themselves. */
    int rows(String path, boolean tied) {
      return rows.getOrDefault(tied ? CausalLm.EMBEDDING : path, 0);
    }

    /** Values of what lies beside the weights of a part. */
    long beside(String part) {
      return ranks.keySet().stream()
          .filter(path -> PartSizes.part(path).equals(part))
          .mapToLong(byModule::get)
          .sum();
    }

    /** Values of what lies beside weights, the tables that are trained whole left out. */
    long beside(ModelConfig config) {
      return values - (long) whole.size() * config.vocabSize() * config.hiddenSize();
    }

    static Trained all(WeightSource source) {
      long largest = 0;
      for (String name : source.names()) {
        largest = Math.max(largest, numel(source.shape(name)));
      }
      long count = AllWeights.count(source.config());
      return new Trained(Map.of(), Map.of(), List.of(), count, largest, Map.of());
    }

    static Trained adapter(Recipe recipe, WeightSource source) {
      LoraConfig lora = LoraSettings.of(recipe, source.config());
      Map<String, Integer> ranks = new HashMap<>();
      Map<String, Long> byModule = new HashMap<>();
      long largest = 0;
      List<String> modules = CausalLm.adaptablePaths(source.config());
      for (String path : new TargetMatcher(lora).select(modules)) {
        long[] shape = source.shape(path + ".weight");
        long r = lora.rankOf(path, shape[0], shape[1]);
        ranks.put(path, (int) r);
        byModule.put(path, r * (shape[0] + shape[1]) + (lora.extras().useDora() ? shape[0] : 0));
        largest = Math.max(largest, r * Math.max(shape[0], shape[1]));
      }
      Map<String, Integer> rows = new HashMap<>();
      for (Map.Entry<String, List<Integer>> entry :
          lora.extras().trainableTokens().ids().entrySet()) {
        long table = (long) entry.getValue().size() * source.config().hiddenSize();
        rows.put(entry.getKey(), entry.getValue().size());
        byModule.merge(entry.getKey(), table, Long::sum);
        largest = Math.max(largest, table);
      }
      List<String> whole = WholeModules.of(lora);
      for (String path : whole) {
        long table = (long) source.config().vocabSize() * source.config().hiddenSize();
        byModule.put(path, table);
        largest = Math.max(largest, table);
      }
      long values = byModule.values().stream().mapToLong(Long::longValue).sum();
      return new Trained(ranks, rows, whole, values, largest, byModule);
    }
  }

  private static long numel(long[] shape) {
    long n = 1;
    for (long size : shape) {
      n *= size;
    }
    return n;
  }

  /** Rows are in files; in memory are their places, their lengths and the order of an epoch. */
  private long rowBytes() {
    long size = BYTES_A_ROW * (rows.training().perEpoch() + (long) rows.eval().size());
    return recipe.preference().precomputeRefLogProbs()
        ? size + BYTES_A_REFERENCE * (rows.train().size() + (long) rows.eval().size())
        : size;
  }

  /** Weights kept ready for products, unless they are read in 8 bits, and keys and values. */
  private long generation(WeightSource source, Optional<QuantConfig> quantization) {
    Optional<GenerationEval> eval = recipe.evaluation().generationEval();
    if (eval.isEmpty()) {
      return 0;
    }
    ModelConfig c = source.config();
    long kept = 0;
    boolean quantized = quantization.isPresent() || source.quantization().isPresent();
    boolean packed = quantized && where != Device.Type.CPU;
    for (String path : CausalLm.linearPaths(c)) {
      kept += packed ? 0 : numel(source.shape(path + ".weight")) * precision.product().bytes();
    }
    return Math.min(kept, budget.available() / 2) + cached(c);
  }

  /** Keys and values of the answers that are written on the way. */
  private long cached(ModelConfig c) {
    Optional<GenerationEval> eval = recipe.evaluation().generationEval();
    if (eval.isEmpty()) {
      return 0;
    }
    long tokens = Math.min(recipe.data().sequenceLen(), c.maxPositionEmbeddings());
    tokens += eval.get().maxNewTokens();
    long token =
        2L * c.numHiddenLayers() * c.numKeyValueHeads() * c.headDim() * precision.product().bytes();
    return ANSWERS_AT_ONCE * tokens * token;
  }

  /** One layer and part of the head in float32, and all adapters on the heap. */
  private static long merging(WeightSource source, Trained trained) {
    long layer = 0;
    for (String name : source.names()) {
      layer += name.startsWith("model.layers.0.") ? numel(source.shape(name)) : 0;
    }
    long head = MERGE_ROWS * source.config().hiddenSize();
    return (layer + head + trained.values) * DType.FLOAT32.bytes();
  }
}
