package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetModules;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.model.Splits;
import ai.nibble.model.TinyModel;
import ai.nibble.model.Trainable;
import ai.nibble.optim.AdamW8bitConfig;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Optimizer;
import ai.nibble.optim.OptimizerConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.quant.Quant8Config;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.DeviceLink;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.RecordingCopies;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.ChosenEntropy;
import ai.nibble.train.objective.DirectLoss;
import ai.nibble.train.objective.DirectPreference;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.Reference;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.function.Function;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What the host waits for in a step on a device, and that nothing is wrong with not waiting: by
 * kernels compiled for the host on a pretended device, to which copies count as under way for as
 * long as the events allow.
 */
class AsynchronousStepsTest {
  private static final Device DEVICE = Device.pretended(1);
  private static final int STEPS = 5;
  private static final int MICRO_BATCHES = 2;

  /** Page-locked bytes that hold what two steps send. */
  private static final long AMPLE = 1 << 20;

  /** Likewise for a few copies only. */
  private static final long SMALL = 1 << 10;

  @TempDir Path folder;
  private KernelLaunchers.Installation kernels;

  @BeforeEach
  void install() {
    kernels = HostKernels.install();
  }

  @AfterEach
  void remove() {
    kernels.close();
  }

  private void write(String modelType) {
    TinyModel tiny = TinyModel.of(modelType, 15).scaled(0.5f);
    tiny.writeTo(folder);
  }

  /**
   * What is trained.
   *
   * @param load the base
   * @param trained of it
   */
  private record Task(
      LoadOptions load,
      Function<CausalLm, Trainable> trained,
      Function<Trainable, Objective> objective,
      OptimizerConfig optimizer,
      Checkpointing checkpointing,
      double noise) {
    static Task of(LoadOptions load, Function<CausalLm, Trainable> trained) {
      return new Task(
          load,
          trained,
          adapter -> new SupervisedFineTuning(),
          AdamWConfig.DEFAULT,
          Checkpointing.NONE,
          0);
    }

    static Task adapter(LoraConfig config) {
      return of(
          LoadOptions.unquantized(DType.FLOAT32), model -> LoraAdapter.inject(model, config, 4));
    }

    static Task allWeights() {
      return of(LoadOptions.trained(DType.FLOAT32), AllWeights::new);
    }

    Task with(LoadOptions other) {
      return new Task(other, trained, objective, optimizer, checkpointing, noise);
    }

    Task with(OptimizerConfig other) {
      return new Task(load, trained, objective, other, checkpointing, noise);
    }

    Task with(Checkpointing other) {
      return new Task(load, trained, objective, optimizer, other, noise);
    }

    Task withObjective(Function<Trainable, Objective> other) {
      return new Task(load, trained, other, optimizer, checkpointing, noise);
    }

    Task withNoise(double alpha) {
      return new Task(load, trained, objective, optimizer, checkpointing, alpha);
    }
  }

  /** Losses and norms, what was trained, and how often the last steps waited for copies. */
  private record Ran(List<Double> seen, float[] values, long waits, long events) {}

  private Ran run(Task task, Device device, Optional<RecordingCopies> recorded) {
    return run(task, Placement.on(device), recorded);
  }

  private Ran run(Task task, Placement placement, Optional<RecordingCopies> recorded) {
    try (CausalLm model = CausalLm.load(folder, task.load().on(placement));
        Trainable trained = task.trained().apply(model)) {
      TrainStep step =
          new TrainStep(
              model,
              trained,
              task.objective().apply(trained),
              task.optimizer()
                  .over(
                      trained.parameters(),
                      ParameterRange.decayingMatrices(trained.parameters(), 0)),
              1,
              task.checkpointing(),
              task.noise());
      Random random = new Random(5);
      List<Double> seen = new ArrayList<>();
      Supplier<TrainStep.Outcome> before = null;
      long waits = 0;
      long synchronizations = 0;
      for (int s = 0; s < STEPS; s++) {
        if (s == 2) { // by now whatever is there once is there
          waits = Tensor.waits();
          synchronizations = synchronizations(recorded);
        }
        List<Batch> batches = List.of(batch(random, task), batch(random, task));
        Supplier<TrainStep.Outcome> next;
        if (step.canQueue()) {
          next = step.queue(batches, 1e-2, s);
        } else {
          TrainStep.Outcome known = step.run(batches, 1e-2, s);
          next = () -> known;
        }
        note(before, seen);
        before = next;
      }
      long waited = Tensor.waits() - waits;
      long waitedForEvents = synchronizations(recorded) - synchronizations;
      note(before, seen);
      return new Ran(seen, trained.parameters().values().toFloats(), waited, waitedForEvents);
    }
  }

  private static long synchronizations(Optional<RecordingCopies> recorded) {
    return recorded.map(r -> r.count("cuEventSynchronize")).orElse(0L);
  }

  private static void note(Supplier<TrainStep.Outcome> step, List<Double> seen) {
    if (step != null) {
      TrainStep.Outcome outcome = step.get();
      assertTrue(outcome.applied());
      seen.add(outcome.loss());
      seen.add(outcome.gradNorm());
    }
  }

  private static Batch batch(Random random, Task task) {
    List<Example> rows = new ArrayList<>();
    for (int length : new int[] {9, 5 + random.nextInt(4)}) {
      int[] ids = random.ints(length, 0, 11).toArray();
      int[] others = random.ints(length - 1, 0, 11).toArray();
      others[0] = ids[0];
      boolean pairs = !(task.objective().apply(null) instanceof SupervisedFineTuning);
      Example row = answer(ids);
      rows.add(pairs ? Example.pair(row, answer(others)) : row);
    }
    return Batch.of(rows);
  }

  /** A prompt of one token, and what follows it. */
  private static Example answer(int[] ids) {
    int[] labels = ids.clone();
    labels[0] = Example.IGNORED;
    return new Example(ids, labels);
  }

  /**
   * Trains without waiting, copies early and late, memory for them ample and small, and compares
   * with a run that waits for everything.
   *
   * @param waits copies that each micro-batch waits for
   */
  private void assertWaits(int waits, Task task) {
    Ran expected = run(task, Device.CPU, Optional.empty());
    for (boolean eager : new boolean[] {false, true}) {
      for (long ring : new long[] {AMPLE, SMALL}) {
        try (RecordingCopies recorded = new RecordingCopies(eager, ring)) {
          Ran ran = run(task, DEVICE, Optional.of(recorded));
          assertEquals(expected.seen, ran.seen);
          assertArrayEquals(expected.values, ran.values);
          long steps = STEPS - 2;
          assertEquals(steps * MICRO_BATCHES * waits, ran.waits);
          if (ring == AMPLE) { // the numbers of the steps before: losses, and a norm
            boolean late = task.objective().apply(null) instanceof SupervisedFineTuning;
            assertEquals(steps * (1 + (late ? MICRO_BATCHES : 0)), ran.events);
          }
          assertTrue(recorded.count("cuMemcpyHtoDAsync") > steps * MICRO_BATCHES);
        }
      }
    }
  }

  private static LoraConfig lora() {
    return LoraConfig.DEFAULT.withRank(3, 6).withDropout(0.2);
  }

  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void aStepWaitsForNothing(Checkpointing checkpointing) {
    write("llama");
    assertWaits(0, Task.adapter(lora()).with(checkpointing));
  }

  /**
   * Where tokens choose experts the host waits for each layer's choice: what is computed hangs on
   * it.
   */
  @ParameterizedTest
  @FieldSource("ai.nibble.model.TinyModel#MODEL_TYPES")
  void norDoesItWithAnyArchitectureButForExperts(String modelType) {
    write(modelType);
    boolean experts = modelType.equals("mixtral") || modelType.equals("qwen3_moe");
    assertWaits(experts ? 2 : 0, Task.adapter(lora()));
  }

  @Test
  void norWithAllWeights() {
    write("gemma3_text");
    assertWaits(0, Task.allWeights());
    assertWaits(0, Task.allWeights().with(new AdamW8bitConfig(AdamWConfig.DEFAULT)));
  }

  @ParameterizedTest
  @ValueSource(strings = {"tables", "whole tables", "dora", "noise"})
  void norWithVariantsOfAdapters(String variant) {
    write("llama");
    LoraConfig config = lora();
    Task task =
        switch (variant) {
          case "tables" ->
              Task.adapter(
                  config.withTargets(
                      new TargetModules.Names(List.of("q_proj", "embed_tokens", "lm_head"))));
          case "whole tables" ->
              Task.adapter(
                  config.withExtras(
                      config
                          .extras()
                          .withModulesToSave(List.of(CausalLm.HEAD, CausalLm.EMBEDDING))));
          case "dora" -> Task.adapter(config.withExtras(config.extras().withDora(true)));
          default -> Task.adapter(config).withNoise(5);
        };
    assertWaits(0, task);
  }

  @Test
  void norByComposedKernels() {
    kernels.close();
    kernels = KernelForm.COMPOSED.install();
    write("llama");
    assertWaits(0, Task.adapter(lora()).withNoise(5));
  }

  /** Adapters on the first of two devices: what they learn is not where the loss is. */
  @Test
  void adaptersThatAreNotWhereTheLossIsLearnTheSame() {
    write("llama");
    TargetModules first = new TargetModules.Regex("model\\.layers\\.0\\..*_proj");
    Task task = Task.adapter(lora().withTargets(first));
    Ran expected = run(task, Device.CPU, Optional.empty());
    try (RecordingCopies recorded = new RecordingCopies(false, AMPLE)) {
      Ran ran = run(task, Splits.overTwo(), Optional.of(recorded));
      assertEquals(expected.seen, ran.seen);
      assertArrayEquals(expected.values, ran.values);
    }
  }

  /** The loss of a pair is computed on the host, of both answers and of the reference's. */
  @Test
  void preferencesWaitForTheReferencesAnswersAndForTheModels() {
    write("llama");
    Function<Trainable, Objective> dpo =
        trained ->
            new DirectPreference(
                DirectLoss.SIGMOID,
                0.5,
                0,
                trained == null ? Reference.ofRows() : Reference.adapterOff((LoraAdapter) trained),
                ChosenEntropy.NONE);
    assertWaits(2, Task.adapter(lora()).withObjective(dpo));
  }

  /**
   * LLM.int8() multiplies columns that hold outliers by themselves, and the host has to know them.
   */
  @Test
  void int8WaitsForTheOutliersOfEveryGroup() {
    write("llama");
    int groups = 2 * 4; // of queries, keys and values; of their output; of gate and up; of down
    Quant8Config config = new Quant8Config(1, List.of());
    LoadOptions load = new LoadOptions(Optional.of(config), DType.FLOAT32);
    assertWaits(groups, Task.adapter(lora()).with(load));
    LoadOptions without =
        new LoadOptions(Optional.of(new Quant8Config(0, List.of())), DType.FLOAT32);
    assertWaits(0, Task.adapter(lora()).with(without));
  }

  /** Each worker has a thread, and its device a ring; losses are read when all is queued. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void severalWorkersCopyEachToItsDevice(boolean eager) {
    write("llama");
    float[] expected = byWorkers(List.of(Device.CPU, Device.CPU));
    try (RecordingCopies recorded = new RecordingCopies(eager, SMALL)) {
      assertArrayEquals(expected, byWorkers(List.of(DEVICE, Device.pretended(2))));
      assertEquals(2, recorded.held(), "a ring for each device");
      assertEquals(STEPS * 3, recorded.count("cuMemcpyDtoHAsync"), "losses");
    }
  }

  private float[] byWorkers(List<Device> devices) {
    try (Scope scope = new Scope()) {
      List<Replica> replicas = new ArrayList<>();
      LoraAdapter first = null;
      for (Device device : devices) {
        LoadOptions options = LoadOptions.unquantized(DType.FLOAT32).on(device);
        CausalLm model = scope.own(CausalLm.load(folder, options));
        LoraAdapter own =
            scope.own(first == null ? LoraAdapter.inject(model, lora(), 4) : first.copyTo(model));
        first = first == null ? own : first;
        replicas.add(new Replica(model, own, new SupervisedFineTuning()));
      }
      Workers workers = scope.own(new Workers(replicas, DeviceLink.between(devices), 1));
      Optimizer optimizer =
          AdamWConfig.DEFAULT.over(
              first.parameters(), ParameterRange.decayingMatrices(first.parameters(), 0));
      TrainStep step = new TrainStep(workers, optimizer, 1, Checkpointing.NONE, 0);
      Task task = Task.adapter(lora());
      Random random = new Random(5);
      for (int s = 0; s < STEPS; s++) {
        List<Batch> batches =
            List.of(batch(random, task), batch(random, task), batch(random, task));
        assertTrue(step.run(batches, 1e-2, s).applied());
      }
      return first.parameters().values().toFloats();
    }
  }

  /** Losses, evaluations, what was trained, and the files of checkpoints. */
  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aRunIsThatOfOneThatWaits(boolean eager) throws IOException {
    TrainSettings settings = TinyRun.settings(7, 3, 4, 0);
    TinyRun.Result expected = run("waits", Device.CPU, settings);
    try (RecordingCopies recorded = new RecordingCopies(eager, AMPLE)) {
      TinyRun.Result ran = run("does-not", DEVICE, settings);
      assertArrayEquals(expected.values(), ran.values());
      assertEquals(expected.loss(), ran.loss());
      assertTrue(recorded.count("cuMemcpyHtoDAsync") > 0);
    }
    String file = "checkpoint-4/adapter_model.safetensors";
    assertArrayEquals(
        Files.readAllBytes(folder.resolve("waits").resolve(file)),
        Files.readAllBytes(folder.resolve("does-not").resolve(file)));
  }

  private TinyRun.Result run(String name, Device device, TrainSettings settings)
      throws IOException {
    try (TinyRun run = new TinyRun(folder.resolve(name + "-base"), 7, DType.FLOAT32, device)) {
      return run.with(settings).run(folder.resolve(name), Optional.empty());
    }
  }
}
