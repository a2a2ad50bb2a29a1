package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.data.RowOrder;
import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Trainable;
import ai.nibble.nn.ParameterSet;
import ai.nibble.nn.Pass;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.OutOfMemoryException;
import ai.nibble.tensor.OutOfMemoryExceptionTest;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.RunEnd;
import ai.nibble.train.log.RunInfo;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.log.UpdateNorms;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The whole loop on a model of 80,000 parameters. */
class TrainerTest {
  @TempDir Path output;
  private CausalLm model;
  private long liveBefore;

  @BeforeEach
  void load() {
    liveBefore = Tensor.live();
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    model =
        CausalLm.load(
            Shared.path("fixtures/models/llama_plain"),
            new LoadOptions(Optional.of(nf4), DType.FLOAT32));
  }

  @AfterEach
  void everyTensorIsClosed() {
    if (model != null) {
      model.close();
    }
    assertEquals(liveBefore, Tensor.live());
  }

  /** Rows that count upwards from a random token: learnable, of several lengths. */
  private static List<Example> rows(int n, long seed) {
    Random random = new Random(seed);
    List<Example> rows = new ArrayList<>();
    for (int i = 0; i < n; i++) {
      int[] ids = new int[5 + random.nextInt(12)];
      ids[0] = 1 + random.nextInt(40);
      int[] labels = new int[ids.length];
      labels[0] = Example.IGNORED;
      for (int t = 1; t < ids.length; t++) {
        ids[t] = ids[t - 1] + 1;
        labels[t] = t < 3 ? Example.IGNORED : ids[t];
      }
      rows.add(new Example(ids, labels));
    }
    return rows;
  }

  private static TrainSettings settings(
      int micro, int accumulation, double lr, Checkpointing checkpointing) {
    return new TrainSettings(
        micro,
        accumulation,
        12,
        lr,
        new Schedule.Constant(0),
        AdamWConfig.DEFAULT,
        1,
        checkpointing,
        6,
        3,
        4,
        2,
        7);
  }

  private LoraAdapter inject(double dropout) {
    return LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(4, 8).withDropout(dropout), 5);
  }

  private static final class Record implements TrainListener {
    private final List<StepMetrics> steps = new ArrayList<>();
    private final List<EvalMetrics> evaluations = new ArrayList<>();

    @Override
    public void stepEnded(StepMetrics metrics) {
      steps.add(metrics);
    }

    @Override
    public void evaluated(EvalMetrics metrics) {
      evaluations.add(metrics);
    }
  }

  private float[] train(TrainSettings settings, Record record, Path to) {
    try (LoraAdapter adapter = inject(0.1)) {
      new Trainer(
              model,
              adapter,
              new SupervisedFineTuning(),
              settings,
              rows(20, 1),
              rows(7, 2),
              List.of(record))
          .run(new RunPlace(to, "base", "", Map.of()));
      return adapter.parameters().values().toFloats();
    }
  }

  @Test
  void lossFallsAndTheAdapterThatIsWrittenIsTheOneThatWasTrained() throws Exception {
    Record record = new Record();
    float[] trained = train(settings(4, 1, 1e-2, Checkpointing.NONE), record, output);
    assertEquals(12, record.steps.size());
    assertTrue(record.steps.get(11).loss() < record.steps.get(0).loss() - 0.5);
    assertEquals(List.of(6, 12), record.evaluations.stream().map(EvalMetrics::step).toList());
    try (LoraAdapter loaded = AdapterStore.load(model, output)) {
      assertArrayEquals(trained, loaded.parameters().values().toFloats());
    }
    assertFalse(Files.exists(output.resolve("checkpoint-4")), "beyond save_total_limit");
    for (String kept : List.of("checkpoint-8", "checkpoint-12")) {
      assertTrue(Files.isRegularFile(output.resolve(kept).resolve(AdapterStore.WEIGHTS)));
    }
  }

  @Test
  void theSameSeedGivesTheSameBitsWithAndWithoutCheckpointing() {
    float[] first =
        train(settings(3, 2, 1e-2, Checkpointing.NONE), new Record(), output.resolve("a"));
    float[] second =
        train(settings(3, 2, 1e-2, Checkpointing.NONE), new Record(), output.resolve("b"));
    assertArrayEquals(first, second);
    for (Checkpointing checkpointing : Checkpointing.values()) {
      Path folder = output.resolve(checkpointing.name());
      float[] recomputed = train(settings(3, 2, 1e-2, checkpointing), new Record(), folder);
      assertArrayEquals(first, recomputed, checkpointing.name());
    }
  }

  @Test
  void accumulatedMicroBatchesEqualOneBigBatch() {
    List<Example> rows = rows(8, 3);
    try (LoraAdapter adapter = inject(0)) {
      TrainStep.Outcome big = probe(adapter, List.of(Batch.of(rows)));
      List<Batch> small = new ArrayList<>();
      rows.forEach(row -> small.add(Batch.of(List.of(row))));
      TrainStep.Outcome accumulated = probe(adapter, small);
      assertEquals(big.loss(), accumulated.loss(), 1e-6 * big.loss());
      assertEquals(big.gradNorm(), accumulated.gradNorm(), 1e-5 * big.gradNorm());
      // the control: a mean of means would differ, for the rows differ in length
      double meanOfMeans =
          small.stream()
              .mapToDouble(b -> probe(adapter, List.of(b)).loss())
              .average()
              .orElseThrow();
      assertTrue(Math.abs(meanOfMeans - big.loss()) > 1e-4);
    }
  }

  @Test
  void packsTrainAndTheirEvaluationIsThatOfTheRows() {
    TrainSettings rows = settings(3, 1, 1e-2, Checkpointing.NONE);
    RowOrder.Packed packs = new RowOrder.Packed(40);
    Record packed = new Record();
    train(rows.withOrder(packs, packs), packed, output.resolve("packed"));
    assertTrue(packed.steps.get(11).loss() < packed.steps.get(0).loss() - 0.5);
    Record unpacked = new Record();
    train(rows.withOrder(packs, RowOrder.AS_GIVEN), unpacked, output.resolve("unpacked"));
    for (int i = 0; i < 2; i++) {
      EvalMetrics expected = unpacked.evaluations.get(i);
      EvalMetrics seen = packed.evaluations.get(i);
      assertEquals(expected.evalLoss(), seen.evalLoss(), 1e-6 * expected.evalLoss());
    }
  }

  /** Loss and gradient norm at the adapter's present values: a step of rate 0 changes nothing. */
  private TrainStep.Outcome probe(LoraAdapter adapter, List<Batch> batches) {
    int elements = Math.toIntExact(adapter.parameters().numel());
    AdamW adamW = new AdamW(AdamWConfig.DEFAULT, elements);
    return new TrainStep(model, adapter, new SupervisedFineTuning(), adamW, 0, Checkpointing.NONE)
        .run(batches, 0, 1);
  }

  @Test
  void onlyTheAdapterChangesAndTakingItOffRestoresTheBase() {
    int[] ids = {3, 9, 4, 1};
    int[] last = {3};
    float[] before;
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, 4), last)) {
      before = logits.toFloats();
    }
    train(settings(4, 1, 1e-2, Checkpointing.NONE), new Record(), output);
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, 4), last)) {
      assertArrayEquals(before, logits.toFloats());
    }
  }

  private TrainingStoppedException stopped(
      LoraAdapter adapter, double learningRate, TrainListener listener) {
    Trainer trainer =
        new Trainer(
            model,
            adapter,
            new SupervisedFineTuning(),
            settings(4, 1, learningRate, Checkpointing.NONE),
            rows(20, 1),
            List.of(),
            List.of(listener));
    RunPlace place = new RunPlace(output, "base", "", Map.of());
    return assertThrows(TrainingStoppedException.class, () -> trainer.run(place));
  }

  /** The first step's update is finite but so large that nothing after it is. */
  @Test
  void aRunThatDivergesStopsNamesTheStepAndDoesNotWriteTheWeightsThatItDivergedBy() {
    Record record = new Record();
    try (LoraAdapter adapter = inject(0.1)) {
      TrainingStoppedException e = stopped(adapter, 1e30, record);
      assertEquals(1, record.steps.size());
      assertTrue(e.getMessage().startsWith("step 2: loss "), e.getMessage());
      String left =
          "no finite loss was computed with the weights of step 1, so they are not written; no"
              + " checkpoint from before them is left";
      assertTrue(e.getMessage().contains(left), e.getMessage());
    }
    assertFalse(Files.exists(output.resolve(AdapterStore.WEIGHTS)));
  }

  /** B's gradient is made of {@code x·Aᵀ}: where A is zero, none reaches it, ever. */
  @Test
  void aTensorThatNoGradientReachesStopsTheRunAfterItsFirstStep() {
    String path = "model.layers.1.self_attn.k_proj";
    Record record = new Record();
    try (LoraAdapter adapter = inject(0)) {
      adapter.parameters().get(AdapterNames.loraA(path)).value().zero();
      TrainingStoppedException e = stopped(adapter, 1e-2, record);
      assertTrue(
          e.getMessage().startsWith("step 1: no gradient reaches 1 of the trained tensors"),
          e.getMessage());
      assertTrue(e.getMessage().contains(AdapterNames.loraB(path)), e.getMessage());
      assertEquals(1, e.getMessage().split("lora_[AB]", -1).length - 1, e.getMessage());
    }
    assertEquals(0, record.steps.size());
    assertFalse(Files.exists(output.resolve(AdapterStore.WEIGHTS)), "nothing worth writing");
  }

  /** An adapter of which some tensors are said to have no gradient. */
  private record Deaf(LoraAdapter adapter, List<String> withoutGradient) implements Trainable {
    @Override
    public ParameterSet parameters() {
      return adapter.parameters();
    }

    @Override
    public void save(Path directory, String baseModel) {
      throw new AssertionError("saved");
    }

    @Override
    public void close() {
      adapter.close();
    }
  }

  @Test
  void tensorsThatNoGradientReachesAreNamedEightOfThemAndTheRestCounted() {
    for (int deaf : new int[] {1, 8, 10}) {
      List<String> names = IntStream.range(0, deaf).mapToObj(i -> "lora_B." + i).toList();
      try (Deaf trained = new Deaf(inject(0), names)) {
        Trainer trainer =
            new Trainer(
                model,
                trained,
                new SupervisedFineTuning(),
                settings(4, 1, 1e-2, Checkpointing.NONE),
                rows(20, 1),
                List.of(),
                List.of());
        TrainingStoppedException e =
            assertThrows(
                TrainingStoppedException.class,
                () -> trainer.run(new RunPlace(output, "base", "", Map.of())));
        String shown = String.join(", ", names.subList(0, Math.min(8, deaf)));
        assertEquals(
            "step 1: no gradient reaches "
                + deaf
                + " of the trained tensors ["
                + shown
                + (deaf == 10 ? " and 2 more" : "")
                + "]: they would never learn",
            e.getMessage());
      }
    }
  }

  @Test
  void aGpuWithoutMemoryEndsTheRunWithItsStepAndTheLastCheckpoint() {
    SupervisedFineTuning usual = new SupervisedFineTuning();
    Path last = output.resolve("checkpoint-4");
    for (int failing : new int[] {2, 6}) {
      int[] calls = {0};
      try (LoraAdapter adapter = inject(0)) {
        Trainer trainer =
            new Trainer(
                model,
                adapter,
                (tape, m, batch, pass, normalizer, checkpointing) -> {
                  if (++calls[0] == failing) {
                    throw OutOfMemoryExceptionTest.example();
                  }
                  return usual.loss(tape, m, batch, pass, normalizer, checkpointing);
                },
                settings(4, 1, 1e-2, Checkpointing.NONE),
                rows(20, 1),
                List.of(),
                List.of());
        OutOfMemoryException e =
            assertThrows(
                OutOfMemoryException.class,
                () -> trainer.run(new RunPlace(output, "base", "", Map.of())));
        String kept =
            failing < 4
                ? "no checkpoint was due before it"
                : "resume_from_checkpoint goes on from " + last;
        assertEquals(
            "step "
                + failing
                + ": "
                + OutOfMemoryExceptionTest.example().getMessage()
                + "; "
                + kept,
            e.getMessage());
      }
    }
    assertEquals(4, SavedCheckpoint.open(last).state().step());
  }

  @Test
  void anAdapterThatFitsNoModuleIsRefusedWithEveryTensor() throws Exception {
    train(settings(4, 1, 1e-2, Checkpointing.NONE), new Record(), output);
    Path config = output.resolve("adapter_config.json");
    Files.writeString(config, Files.readString(config).replace("\"r\" : 4", "\"r\" : 3"));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> AdapterStore.load(model, output));
    assertEquals(42, e.problems().size());
    assertTrue(e.problems().get(0).contains("expected [3, 64]"), e.problems().get(0));
  }

  @Test
  void anUntrainedAdapterIsNotSavedAsATrainedOne() {
    try (LoraAdapter adapter = inject(0)) {
      assertThrows(
          InvalidInputException.class, () -> AdapterStore.save(adapter, output, "base", true));
    }
  }

  /** What is told, a word a call. */
  private static final class Order implements TrainListener {
    private final List<String> told = new ArrayList<>();
    private final List<UpdateNorms> norms = new ArrayList<>();

    @Override
    public void runStarted(RunInfo run) {
      told.add("run");
    }

    @Override
    public void stepStarted(int step) {
      told.add("step " + step);
    }

    @Override
    public void stepEnded(StepMetrics metrics) {
      told.add("done " + metrics.step());
    }

    @Override
    public void evaluationStarted(int step) {
      told.add("eval " + step);
    }

    @Override
    public void evaluated(EvalMetrics metrics) {
      told.add("evaluated " + metrics.step());
    }

    @Override
    public void updatesMeasured(UpdateNorms measured) {
      told.add("norms " + measured.step());
      norms.add(measured);
    }

    @Override
    public void saveStarted(int step) {
      told.add("save " + step);
    }

    @Override
    public void saved(Path path) {
      told.add("saved " + path.getFileName());
    }

    @Override
    public void runEnded(RunEnd end) {
      told.add(end.reason());
    }
  }

  @Test
  void listenersHearOfEverythingInItsOrder() {
    Order order = new Order();
    Path to = output.resolve("out");
    try (LoraAdapter adapter = inject(0)) {
      List<String> modules = adapter.modules();
      new Trainer(
              model,
              adapter,
              new SupervisedFineTuning(),
              settings(4, 1, 1e-3, Checkpointing.NONE), // 12 steps, evaluated by 6, saved by 4
              rows(20, 1),
              rows(7, 2),
              List.of(order))
          .run(new RunPlace(to, "base", "", Map.of()));
      assertEquals(modules, List.copyOf(order.norms.get(0).byModule().keySet()));
    }
    List<String> expected = new ArrayList<>(List.of("run"));
    for (int step = 1; step <= 12; step++) {
      expected.addAll(List.of("step " + step, "done " + step));
      if (step % 6 == 0) {
        expected.addAll(List.of("eval " + step, "evaluated " + step, "norms " + step));
      }
      if (step % 4 == 0) {
        if (step % 6 != 0) {
          expected.add("norms " + step);
        }
        expected.addAll(List.of("save " + step, "saved checkpoint-" + step));
      }
    }
    expected.addAll(List.of("save 12", "saved out", "finished"));
    assertEquals(expected, order.told);
    double first = order.norms.get(0).byModule().values().iterator().next();
    double last = order.norms.get(order.norms.size() - 1).byModule().values().iterator().next();
    assertTrue(first > 0 && last > first, first + ", then " + last);
  }

  @Test
  void aRunThatIsAskedToStopEndsAsStopped() {
    Order order = new Order();
    try (LoraAdapter adapter = inject(0)) {
      Trainer trainer =
          new Trainer(
              model,
              adapter,
              new SupervisedFineTuning(),
              settings(4, 1, 1e-3, Checkpointing.NONE),
              rows(20, 1),
              List.of(),
              List.of(order));
      trainer.stopWhen(() -> true);
      RunPlace place = new RunPlace(output.resolve("out"), "base", "", Map.of());
      assertThrows(TrainingInterruptedException.class, () -> trainer.run(place));
    }
    assertEquals(
        List.of("run", "step 1", "done 1", "norms 1", "save 1", "saved checkpoint-1", "stopped"),
        order.told);
  }
}
