package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Example;
import ai.nibble.data.RowOrder;
import ai.nibble.data.TrainingRows;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.DeviceLink;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.RecordingNccl;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import ai.nibble.tensor.Torch;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.ChosenEntropy;
import ai.nibble.train.objective.DirectLoss;
import ai.nibble.train.objective.DirectPreference;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.Reference;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;

/** Any number of workers trains the same bits, and behaves as one does. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class WorkersTest {
  private static final int STEPS = 5;
  private static final int MOST = 4;
  private static final int[] COUNTS = {1, 2, 3, 4};

  private final List<CausalLm> models = new ArrayList<>();
  private List<Example> rows = TinyRun.rows(7, 3);
  private int threadsBefore;

  @BeforeAll
  void load(@TempDir Path directory) throws IOException {
    threadsBefore = Torch.threads();
    Torch.setThreads(1); // of each worker, whatever their number
    Path base = TinyChat.write(directory);
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    for (int w = 0; w < MOST; w++) {
      models.add(CausalLm.load(base, new LoadOptions(Optional.of(nf4), DType.FLOAT32)));
    }
  }

  @AfterAll
  void close() {
    models.forEach(CausalLm::close);
    Torch.setThreads(threadsBefore);
  }

  /** 7 rows, 2 a micro-batch: an epoch's four micro-batches are a step, of which one is short. */
  private static TrainSettings settings() {
    return new TrainSettings(
        2,
        4,
        STEPS,
        1e-2,
        new Schedule.Cosine(1, STEPS),
        AdamWConfig.DEFAULT,
        1,
        Checkpointing.NONE,
        2,
        1,
        2,
        0,
        7);
  }

  /** What a run showed and left. */
  private record Ran(float[] values, List<StepMetrics> steps, List<EvalMetrics> evaluations) {
    /** All but times and memory. */
    List<String> seen() {
      List<String> seen = new ArrayList<>();
      steps.forEach(
          s -> seen.add(s.step() + " " + s.loss() + " " + s.gradNorm() + " " + s.measures()));
      evaluations.forEach(e -> seen.add(e.step() + " " + e.evalLoss() + " " + e.measures()));
      return seen;
    }
  }

  /** One run's workers, adapters and what it was asked. */
  private final class Run implements AutoCloseable {
    private final Scope scope = new Scope();
    private final List<Replica> replicas = new ArrayList<>();
    private final Workers workers;
    private TrainSettings settings = settings();
    private int stopAfter = STEPS;

    Run(int count) {
      this(count, adapter -> new SupervisedFineTuning());
    }

    Run(int count, Function<LoraAdapter, Objective> objective) {
      this(count, objective, DeviceLink.between(List.of(Device.CPU)));
    }

    Run(int count, Function<LoraAdapter, Objective> objective, DeviceLink link) {
      LoraConfig config = LoraConfig.DEFAULT.withRank(4, 8).withDropout(0.2);
      LoraAdapter first = scope.own(LoraAdapter.inject(models.get(0), config, 5));
      for (int w = 0; w < count; w++) {
        LoraAdapter own = w == 0 ? first : scope.own(first.copyTo(models.get(w)));
        replicas.add(new Replica(models.get(w), own, objective.apply(own)));
      }
      workers = scope.own(new Workers(replicas, link, 1));
    }

    Run with(UnaryOperator<TrainSettings> change) {
      settings = change.apply(settings);
      return this;
    }

    Run stopAfter(int steps) {
      stopAfter = steps;
      return this;
    }

    Ran to(Path output, Optional<SavedCheckpoint> from) {
      List<StepMetrics> steps = new ArrayList<>();
      List<EvalMetrics> evaluations = new ArrayList<>();
      TrainListener listener =
          new TrainListener() {
            @Override
            public void stepEnded(StepMetrics metrics) {
              steps.add(metrics);
            }

            @Override
            public void evaluated(EvalMetrics metrics) {
              evaluations.add(metrics);
            }
          };
      Trainer trainer =
          new Trainer(
              workers,
              replicas.get(0).trained(),
              settings,
              TrainingRows.of(rows),
              rows.subList(0, 5),
              List.of(listener));
      from.ifPresent(trainer::resume);
      trainer.stopWhen(() -> steps.size() == stopAfter);
      trainer.run(new RunPlace(output, "base", "", Map.of("seed", "7")));
      return new Ran(
          replicas.get(0).trained().parameters().values().toFloats(), steps, evaluations);
    }

    @Override
    public void close() {
      scope.close();
    }
  }

  private static void assertSame(Ran expected, Ran ran, String what) {
    assertEquals(expected.seen(), ran.seen(), what);
    assertArrayEquals(expected.values, ran.values, what);
  }

  private void assertAnyNumberTrainsTheSame(
      Path output,
      UnaryOperator<TrainSettings> change,
      Function<LoraAdapter, Objective> objective) {
    Ran expected = null;
    for (int count : COUNTS) {
      try (Run run = new Run(count, objective).with(change)) {
        Ran ran = run.to(output.resolve("of" + count), Optional.empty());
        assertEquals(STEPS, ran.steps.size());
        expected = expected == null ? ran : expected;
        assertSame(expected, ran, count + " workers");
      }
    }
  }

  @Test
  void oneTwoThreeAndFourWorkersTrainTheSameBits(@TempDir Path output) {
    assertAnyNumberTrainsTheSame(
        output, settings -> settings, adapter -> new SupervisedFineTuning());
  }

  @Test
  void packedRowsAndWhatIsComputedAgainDoNotTellWorkersApart(@TempDir Path output) {
    assertAnyNumberTrainsTheSame(
        output,
        settings ->
            settings
                .with(Checkpointing.BLOCK)
                .withNeftune(5)
                .withOrder(new RowOrder.Packed(9), new RowOrder.Packed(9)),
        adapter -> new SupervisedFineTuning());
  }

  /** Each asks its own model, with its own copy of the adapter as it began. */
  @Test
  void theAdapterAsItBeganIsEachWorkersOwn(@TempDir Path output) {
    rows = PreferenceRunTest.pairs(7);
    try {
      assertAnyNumberTrainsTheSame(
          output,
          settings -> settings,
          adapter ->
              new DirectPreference(
                  DirectLoss.SIGMOID,
                  0.5,
                  0,
                  Reference.asItWas(adapter.frozen()),
                  ChosenEntropy.NONE));
    } finally {
      rows = TinyRun.rows(7, 3);
    }
  }

  /** Each asks its own model, with its own adapter off. */
  @Test
  void aReferenceIsEachWorkersOwn(@TempDir Path output) {
    rows = PreferenceRunTest.pairs(7);
    try {
      assertAnyNumberTrainsTheSame(
          output,
          settings -> settings,
          adapter ->
              new DirectPreference(
                  DirectLoss.SIGMOID, 0.5, 0, Reference.adapterOff(adapter), ChosenEntropy.NONE));
    } finally {
      rows = TinyRun.rows(7, 3);
    }
  }

  /**
   * As on GPUs: kernels, compiled for the host, sum where each worker computes, and what is summed
   * and the new values go from one to another by a stand-in for NCCL, no memory being shared.
   */
  @Test
  void sumsThatAreSentFromDeviceToDeviceGiveTheSameBits(@TempDir Path output) {
    KernelLaunchers.Installation kernels = HostKernels.install();
    try (kernels) {
      Ran expected = null;
      for (int count : COUNTS) {
        DeviceLink link = RecordingNccl.link(count);
        try (Run run = new Run(count, adapter -> new SupervisedFineTuning(), link)) {
          Ran ran = run.to(output.resolve("of" + count), Optional.empty());
          expected = expected == null ? ran : expected;
          assertSame(expected, ran, count + " workers");
        }
      }
    }
  }

  @Test
  void stretchesCoverTheMicroBatchesInOrder() {
    for (int count : COUNTS) {
      try (Run run = new Run(count)) {
        for (int batches = 1; batches < 9; batches++) {
          int[] starts = run.workers.stretches(batches);
          assertEquals(0, starts[0]);
          assertEquals(batches, starts[count]);
          assertTrue(starts[1] > 0, "the first worker always has one");
          for (int w = 0; w < count; w++) {
            int length = starts[w + 1] - starts[w];
            assertTrue(
                length >= batches / count && length <= (batches + count - 1) / count,
                Arrays.toString(starts));
          }
        }
      }
    }
  }

  @Test
  void aRunGoesOnWithAnotherNumberOfWorkers(@TempDir Path output) {
    Ran whole;
    try (Run run = new Run(1)) {
      whole = run.to(output.resolve("whole"), Optional.empty());
    }
    int[][] pairs = {{1, 2}, {2, 4}, {4, 1}, {3, 2}};
    for (int[] pair : pairs) {
      Path cut = output.resolve(pair[0] + "to" + pair[1]);
      int steps = pair[0]; // of five, with evaluations and checkpoints after the second and fourth
      try (Run run = new Run(pair[0]).stopAfter(steps)) {
        assertThrows(
            TrainingInterruptedException.class, () -> run.to(cut, Optional.empty()), "" + pair[0]);
      }
      SavedCheckpoint saved = CheckpointFolder.newest(cut, line -> {}).orElseThrow();
      assertEquals(steps, saved.state().step());
      try (Run run = new Run(pair[1])) {
        Ran ran = run.to(cut, Optional.of(saved));
        assertArrayEquals(whole.values, ran.values, Arrays.toString(pair));
      }
    }
  }

  @Test
  void aFailureOfOneWorkerEndsTheRunWithItsMessage(@TempDir Path output) {
    for (int failing = 0; failing < 3; failing++) {
      int worker = failing;
      AtomicInteger made = new AtomicInteger();
      try (Run run =
          new Run(
              3,
              adapter -> {
                boolean fails = made.getAndIncrement() == worker;
                return (tape, model, batch, pass, normalizer, checkpointing) -> {
                  if (fails) {
                    throw new TensorException("worker " + worker + " has no more memory");
                  }
                  return new SupervisedFineTuning()
                      .loss(tape, model, batch, pass, normalizer, checkpointing);
                };
              })) {
        long live = Tensor.live();
        TensorException e =
            assertThrows(
                TensorException.class, () -> run.to(output.resolve("" + worker), Optional.empty()));
        assertEquals("worker " + worker + " has no more memory", e.getMessage());
        assertEquals(live, Tensor.live(), "what the others held is given back");
      }
    }
  }

  @Test
  void replicasOfAnotherSizeAreRefused() {
    LoraConfig small = LoraConfig.DEFAULT.withRank(2, 8);
    LoraConfig large = LoraConfig.DEFAULT.withRank(4, 8);
    try (LoraAdapter a = LoraAdapter.inject(models.get(0), small, 5);
        LoraAdapter b = LoraAdapter.inject(models.get(1), large, 5)) {
      Replica first = new Replica(models.get(0), a, new SupervisedFineTuning());
      Replica second = new Replica(models.get(1), b, new SupervisedFineTuning());
      assertThrows(IllegalArgumentException.class, () -> Workers.of(List.of(first, second)));
    }
  }

  @Test
  void theCallingThreadKeepsItsThreads() {
    Torch.setThreads(2);
    try (Run run = new Run(2)) {
      assertEquals(2, Torch.threads());
      int[] inside = new int[2];
      run.workers.run(w -> inside[w] = Torch.threads());
      assertArrayEquals(new int[] {1, 1}, inside);
      assertFalse(run.workers.isFailing());
    } finally {
      Torch.setThreads(1);
    }
  }
}
