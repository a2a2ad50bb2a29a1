package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EpochPlan;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Placement;
import ai.nibble.model.WeightSource;
import ai.nibble.plan.Budget;
import ai.nibble.plan.DevicePlan;
import ai.nibble.plan.DeviceUse;
import ai.nibble.plan.DiskPlan;
import ai.nibble.plan.KeptLayers;
import ai.nibble.plan.MemoryPlan;
import ai.nibble.plan.MicroBatch;
import ai.nibble.plan.PlannedRun;
import ai.nibble.plan.Room;
import ai.nibble.plan.Sizes;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.SkipModules;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.train.TrainSettings;
import ai.nibble.train.log.ProcessMemory;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * The memory and the disk that a recipe's run will need, and the way of checkpointing that follows
 * from it.
 */
public final class RecipePlan {
  /** What gradient_accumulation_steps may be. */
  private static final long MOST_ACCUMULATED = 1 << 20;

  private final Recipe recipe;
  private final RecipeRows rows;
  private final TrainSettings settings;
  private final Budget budget;
  private final PlannedRecipe planned;
  private final PlannedRun run;

  /** Layers that keep their weights dequantised whatever room there is. */
  private final int asked;

  private final DiskPlan disk;
  private final boolean pretended;
  private final List<Room> rooms;
  private final VocabularyChange vocabulary;

  /** Null where all of the model is on one device. */
  private final PlacedRecipe placed;

  private final Map<Checkpointing, MemoryPlan> plans = new EnumMap<>(Checkpointing.class);
  private final List<Alternative> alternatives = new ArrayList<>();

  /**
   * Another setting of the recipe.
   *
   * @param setting the keys, as they are written
   * @param bytes at its peak
   * @param fits whether there is room for it
   */
  public record Alternative(String setting, long bytes, boolean fits) {}

  private RecipePlan(
      Recipe recipe, RecipeRows rows, TrainSettings settings, List<Long> deviceMemory) {
    this.recipe = recipe;
    this.rows = rows;
    this.settings = settings;
    this.pretended = !deviceMemory.isEmpty();
    List<Device> devices = devices(recipe, deviceMemory);
    Room first = PlacedRecipe.room(recipe, deviceMemory, devices.get(0));
    Device device = pretended ? Device.CPU : first.device();
    this.budget = first.budget();
    this.planned = new PlannedRecipe(recipe, rows, settings, device, pretended, budget);
    try (WeightSource source = planned.source()) {
      BaseCheck.require(recipe, source);
      Optional<QuantConfig> quantization = recipe.quantization().config();
      run =
          planned.run(
              source,
              quantization,
              settings.microBatchSize(),
              settings.gradientAccumulationSteps());
      asked = recipe.training().keepDequantizedLayers().asked(run.model().layers().size());
      disk = planned.disk(source);
      vocabulary = VocabularyChange.of(recipe, source.config());
      for (Checkpointing mode : modes()) {
        plans.put(mode, plan(run, mode));
      }
      boolean spread = devices.size() > 1 && (!recipe.deviceMap().isAuto() || !fitsOne());
      rooms =
          spread
              ? devices.stream().map(d -> PlacedRecipe.room(recipe, deviceMemory, d)).toList()
              : List.of(first);
      placed =
          spread
              ? place(
                  source,
                  quantization,
                  settings.microBatchSize(),
                  settings.gradientAccumulationSteps(),
                  asked)
              : null;
      addAlternatives(source, quantization);
    }
  }

  /**
   * Reads a recipe's rows and plans its run.
   *
   * @param out told of what was left out, cut or held back
   * @param deviceMemory bytes of GPUs that are not here; empty: what the recipe runs on here
   * @throws InvalidInputException for what would stop the run as well
   */
  public static RecipePlan read(Recipe recipe, PrintStream out, List<Long> deviceMemory) {
    new ResumePoint(recipe, out).requireSameSettings();
    try (RecipeRows rows = RecipeRows.read(recipe, out)) {
      if (recipe.evaluation().generationEval().isPresent()) {
        new AnswerCheck(recipe, out).close(); // it reads its questions
      }
      EpochPlan epochs = RunSettings.plan(recipe, rows.training());
      return new RecipePlan(recipe, rows, RunSettings.of(recipe, epochs), deviceMemory);
    }
  }

  /** The plan of a run here whose rows were read. */
  static RecipePlan of(Recipe recipe, RecipeRows rows, TrainSettings settings) {
    return new RecipePlan(recipe, rows, settings, List.of());
  }

  private PlacedRecipe place(
      WeightSource source,
      Optional<QuantConfig> quantization,
      int microBatch,
      int accumulation,
      int kept) {
    return new PlacedRecipe(
        recipe, planned, source, quantization, rooms, microBatch, accumulation, kept);
  }

  /** Whether the first device has room for all, as the recipe says or by some way. */
  private boolean fitsOne() {
    return recipe
        .training()
        .gradientCheckpointing()
        .mode()
        .map(mode -> budget.holds(plans.get(mode).peak()))
        .orElseGet(() -> plans.values().stream().anyMatch(plan -> budget.holds(plan.peak())));
  }

  /** Over which devices the model is placed; empty where all of it is on one. */
  public Optional<DevicePlan> devices() {
    return Optional.ofNullable(placed).map(p -> p.plan(checkpointing()).keeping(keptIfRoom()));
  }

  /** What becomes of the base's vocabulary. */
  public VocabularyChange vocabulary() {
    return vocabulary;
  }

  /** Where each module goes. */
  Placement placement() {
    return devices()
        .flatMap(DevicePlan::placement)
        .orElseGet(() -> Placement.on(rooms.get(0).device()));
  }

  /**
   * The devices that the model may be divided over, or of those that each have a copy of it the one
   * with the least room.
   */
  private static List<Device> devices(Recipe recipe, List<Long> pretended) {
    boolean copies = recipe.training().devices().areChosen();
    List<Device> devices =
        copies && pretended.isEmpty()
            ? Devices.of(recipe)
            : PlacedRecipe.devices(recipe, pretended.size());
    return copies
        ? List.of(
            Collections.min(
                devices,
                Comparator.comparingLong(
                    d -> PlacedRecipe.room(recipe, pretended, d).budget().available())))
        : devices;
  }

  /** Of all workers where they share a memory, else of the first one's device: it has the most. */
  private MemoryPlan plan(PlannedRun of, Checkpointing mode) {
    return plan(of, mode, asked);
  }

  /**
   * @param kept layers that keep their weights dequantised
   */
  private MemoryPlan plan(PlannedRun of, Checkpointing mode, int kept) {
    int workers = workers();
    MemoryPlan one = of.plan(mode).keeping(KeptLayers.first(kept, of.dequantizedBytes()).total());
    return workers == 1
        ? one
        : where() == Device.Type.CPU
            ? one.times(workers)
            : one.receiving(DType.FLOAT32.bytes() * of.parameters());
  }

  /** Workers that share a step's micro-batches. */
  public int workers() {
    return recipe.training().devices().count();
  }

  private void addAlternatives(WeightSource source, Optional<QuantConfig> quantization) {
    if (fits()) {
      return;
    }
    if (asked > 0) {
      addWithoutKeeping(source, quantization);
    }
    for (Checkpointing mode : modes()) {
      if (mode != checkpointing() && placed == null) {
        add("gradient_checkpointing: " + word(mode), plans.get(mode).peak());
      } else if (mode != checkpointing()) {
        add("gradient_checkpointing: " + word(mode), placed.plan(mode));
      }
    }
    Checkpointing least = least();
    addSmallerBatches(source, quantization, least);
    boolean quantises =
        recipe.adapter() != Recipe.Adapter.NONE
            && source.quantization().isEmpty()
            && quantization.filter(Quant4Config.class::isInstance).isEmpty();
    if (quantises) {
      Quantization q = recipe.quantization();
      Optional<QuantConfig> nf4 =
          Optional.of(
              new Quant4Config(
                  q.quantType(),
                  q.blocksize(),
                  q.useDoubleQuant(),
                  new SkipModules(q.skipModules())));
      PlannedRun other =
          planned.run(source, nf4, settings.microBatchSize(), settings.gradientAccumulationSteps());
      if (placed == null) {
        add("load_in_4bit: true (" + word(least) + ")", plan(other, least).peak());
      } else {
        PlacedRecipe spread =
            place(
                source,
                nf4,
                settings.microBatchSize(),
                settings.gradientAccumulationSteps(),
                asked);
        add("load_in_4bit: true (" + word(least) + ")", spread.plan(least));
      }
    }
  }

  /** Micro-batches of which as many more make the same step, down to the first that fits. */
  private void addSmallerBatches(
      WeightSource source, Optional<QuantConfig> quantization, Checkpointing mode) {
    int size = settings.microBatchSize();
    long steps = settings.gradientAccumulationSteps();
    boolean enough = false;
    while (size % 2 == 0 && 2 * steps <= MOST_ACCUMULATED && !enough) {
      size /= 2;
      steps *= 2;
      String keys = "micro_batch_size: " + size + " with gradient_accumulation_steps: " + steps;
      keys = keys + " (" + word(mode) + ")";
      enough =
          placed == null
              ? add(keys, plan(planned.run(source, quantization, size, (int) steps), mode).peak())
              : add(keys, place(source, quantization, size, (int) steps, asked).plan(mode));
    }
  }

  /** All weights dequantised for each product, in the recipe's way of checkpointing. */
  private void addWithoutKeeping(WeightSource source, Optional<QuantConfig> quantization) {
    String keys = "keep_dequantized_layers: 0 (" + word(checkpointing()) + ")";
    int size = settings.microBatchSize();
    int steps = settings.gradientAccumulationSteps();
    if (placed == null) {
      add(keys, plan(run, checkpointing(), 0).peak());
    } else {
      add(keys, place(source, quantization, size, steps, 0).plan(checkpointing()));
    }
  }

  private boolean add(String setting, DevicePlan plan) {
    long bytes = plan.uses().stream().mapToLong(DeviceUse::total).sum();
    alternatives.add(new Alternative(setting, bytes, plan.fits()));
    return plan.fits();
  }

  private boolean add(String setting, long bytes) {
    alternatives.add(new Alternative(setting, bytes, budget.holds(bytes)));
    return budget.holds(bytes);
  }

  static String word(Checkpointing mode) {
    return mode.name().toLowerCase(Locale.ROOT);
  }

  /** The plan of each way of checkpointing. */
  public Map<Checkpointing, MemoryPlan> plans() {
    return new EnumMap<>(plans);
  }

  /** The memory there is. */
  public Budget budget() {
    return budget;
  }

  /** The kind of device that the plan is of. */
  public Device.Type where() {
    return planned.where();
  }

  /** The dtype that is computed in. */
  public DType computeDtype() {
    return planned.precision().compute();
  }

  /** The micro-batch of training that needs the most memory. */
  public MicroBatch largestBatch() {
    return run.largest(checkpointing());
  }

  /** Rows to train and to evaluate on. */
  public int[] rowCounts() {
    return new int[] {rows.train().size(), rows.eval().size()};
  }

  /** The recipe's way of checkpointing, or the first that fits; the last where none does. */
  public Checkpointing checkpointing() {
    Optional<Checkpointing> asked = recipe.training().gradientCheckpointing().mode();
    if (asked.isPresent()) {
      return asked.get();
    }
    if (placed != null) {
      return placed.checkpointing();
    }
    for (Checkpointing mode : modes()) {
      if (budget.holds(plans.get(mode).peak())) {
        return mode;
      }
    }
    return least();
  }

  /** What there is to choose from: a CPU has nowhere to put things but where they are. */
  private List<Checkpointing> modes() {
    boolean asked =
        recipe.training().gradientCheckpointing().mode().equals(Optional.of(Checkpointing.OFFLOAD));
    return Arrays.stream(Checkpointing.values())
        .filter(m -> m != Checkpointing.OFFLOAD || asked || where() != Device.Type.CPU)
        .toList();
  }

  private Checkpointing least() {
    return where() == Device.Type.CPU ? Checkpointing.BLOCK : Checkpointing.OFFLOAD;
  }

  /** Bytes that the run puts into the main memory of all GPUs' machine; 0 where it puts none. */
  public long onHost() {
    return where() == Device.Type.CPU ? 0 : workers() * run.onHost(checkpointing());
  }

  /** The plan of {@link #checkpointing}, with the layers that are {@link #kept}. */
  public MemoryPlan plan() {
    MemoryPlan plan = plans.get(checkpointing());
    return placed == null ? plan.keeping(keptIfRoom().total()) : plan;
  }

  /** The layers whose weights stay dequantised. */
  public KeptLayers kept() {
    if (recipe.training().keepDequantizedLayers().isAuto()) {
      return keptIfRoom();
    }
    return placed == null
        ? KeptLayers.first(asked, run.dequantizedBytes())
        : placed.kept(checkpointing());
  }

  /**
   * Where memory decides, the layers that it has room for once a way of checkpointing is chosen,
   * which saves more time; else none. A CPU keeps none: its weights are in few bits to save memory.
   */
  private KeptLayers keptIfRoom() {
    if (!recipe.training().keepDequantizedLayers().isAuto() || !run.isQuantized()) {
      return KeptLayers.NONE;
    }
    if (placed != null) {
      return placed.keptThatFit(checkpointing());
    }
    return where() == Device.Type.CPU
        ? KeptLayers.NONE
        : KeptLayers.thatFit(plans.get(checkpointing()), budget, run.dequantizedBytes());
  }

  /** One line that says which layers are {@link #kept}; empty where none are. */
  public Optional<String> keptSummary() {
    KeptLayers kept = kept();
    return kept.isEmpty()
        ? Optional.empty()
        : Optional.of(
            kept.modules()
                + " keep their weights dequantised: "
                + Sizes.text(kept.total())
                + (workers() > 1 ? " of that memory for each worker" : " of that memory"));
  }

  /** Whether there is room for the run. */
  public boolean fits() {
    return devices().map(DevicePlan::fits).orElseGet(() -> budget.holds(plan().peak()));
  }

  /** Other settings and what they need; empty where the recipe fits as it is. */
  public List<Alternative> alternatives() {
    return List.copyOf(alternatives);
  }

  /** One line: what is needed, what there is, and how checkpointing was chosen. */
  public String summary() {
    Checkpointing mode = checkpointing();
    if (placed != null) {
      return "memory: "
          + PlacedRecipe.summary(devices().orElseThrow())
          + "; gradient_checkpointing "
          + word(mode)
          + (recipe.training().gradientCheckpointing().mode().isPresent()
              ? " as set"
              : ", chosen by that");
    }
    String all =
        String.join(
            ", ",
            plans.entrySet().stream()
                .map(e -> word(e.getKey()) + " " + Sizes.text(e.getValue().peak()))
                .toList());
    boolean asked = recipe.training().gradientCheckpointing().mode().isPresent();
    return "memory: about "
        + Sizes.text(plan().peak())
        + " of the "
        + Sizes.text(budget.available())
        + " that "
        + budget.place()
        + " has free; gradient_checkpointing "
        + word(mode)
        + (asked ? " as set" : ", chosen by that")
        + " ("
        + all
        + ")"
        + (onHost() > 0 ? "; " + Sizes.text(onHost()) + " lie in the main memory" : "");
  }

  /** Whether the disk has the room, where it is this machine's. */
  public boolean fitsDisk() {
    return pretended || disk.fits();
  }

  /** One line, after the run, that sets what it took beside the plan; empty on a GPU. */
  Optional<String> compare() {
    return where() == Device.Type.CPU && placed == null
        ? Optional.of(
            String.format(
                Locale.ROOT,
                "memory: %d MiB planned, %d MiB resident at most",
                plan().peak() >> 20,
                ProcessMemory.peakBytes() >> 20))
        : Optional.empty();
  }

  /** One line for a run that has not the room: what helps; empty where it has. */
  public Optional<String> shortage() {
    if (fits()) {
      return Optional.empty();
    }
    List<String> helps =
        alternatives.stream()
            .filter(Alternative::fits)
            .map(a -> a.setting() + " needs " + Sizes.text(a.bytes()))
            .toList();
    String what =
        devices()
            .flatMap(DevicePlan::shortage)
            .orElseGet(
                () ->
                    "about "
                        + Sizes.text(plan().peak())
                        + " of memory are needed, "
                        + budget.place()
                        + " has "
                        + Sizes.text(budget.available())
                        + " free");
    return Optional.of(
        what
            + ": "
            + (helps.isEmpty() ? "take a smaller base or shorter rows" : String.join("; ", helps)));
  }

  /** What is written to the output directory, and what is free for it. */
  public DiskPlan disk() {
    return disk;
  }

  /**
   * Refuses a run that this machine's disk has not the room for; one that is planned for elsewhere
   * has another disk.
   *
   * @throws InvalidInputException with what helps
   */
  public void requireDisk() {
    if (!fitsDisk()) {
      throw new InvalidInputException(
          recipe.where("output_dir")
              + ": 'output_dir' is '"
              + recipe.output().outputDir()
              + "', whose file system has not the room for what is written, "
              + disk.text()
              + ": "
              + disk.remedy());
    }
  }

  /**
   * Refuses what can never be had here.
   *
   * @throws InvalidInputException with what helps
   */
  void requirePossible() {
    boolean possible =
        devices()
            .map(
                d ->
                    d.placement().isPresent()
                        && d.uses().stream()
                            .noneMatch(use -> use.room().budget().neverHolds(use.total())))
            .orElseGet(() -> !budget.neverHolds(plan().peak()));
    if (!possible) {
      throw new InvalidInputException(recipe.where("base_model") + ": " + shortage().orElseThrow());
    }
    requireDisk();
  }
}
