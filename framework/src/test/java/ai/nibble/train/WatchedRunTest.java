package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.WholeDirectory;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.TinyRun.Result;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.RunEnd;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The best step, early stopping and the watchdog, in runs that train. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class WatchedRunTest {
  private static final int STEPS = 16;
  private static final SupervisedFineTuning USUAL = new SupervisedFineTuning();

  private TinyRun run;
  @TempDir Path output;

  @BeforeAll
  void load(@TempDir Path base) throws IOException {
    run = new TinyRun(base.resolve("base"), STEPS);
  }

  @AfterAll
  void close() {
    run.close();
  }

  @BeforeEach
  void reset() {
    run.with(TinyRun.settings(STEPS, 0, 0, 0)).with(USUAL).stopWhen(() -> false).withEvalRows(3);
  }

  /** Everything that a run tells. */
  private static final class Log implements TrainListener {
    private final List<StepMetrics> steps = new ArrayList<>();
    private final List<EvalMetrics> evaluations = new ArrayList<>();
    private final List<RunNotice> notices = new ArrayList<>();
    private String reason;

    @Override
    public void stepEnded(StepMetrics metrics) {
      steps.add(metrics);
    }

    @Override
    public void evaluated(EvalMetrics metrics) {
      evaluations.add(metrics);
    }

    @Override
    public void noticed(RunNotice notice) {
      notices.add(notice);
    }

    @Override
    public void runEnded(RunEnd end) {
      reason = end.reason();
    }

    private EvalMetrics best(int every) {
      return evaluations.stream()
          .filter(e -> e.step() % every == 0 || e.step() == STEPS)
          .min(Comparator.comparingDouble(EvalMetrics::evalLoss))
          .orElseThrow();
    }
  }

  private static TrainSettings watched(
      int evalSteps, int saveSteps, int limit, EndRules end, WatchdogSettings watchdog) {
    return TinyRun.settings(STEPS, evalSteps, saveSteps, limit).with(end, watchdog);
  }

  private static float[] weights(CausalLm model, Path directory) {
    try (LoraAdapter adapter = AdapterStore.load(model, directory)) {
      return adapter.parameters().values().toFloats();
    }
  }

  private static SavedCheckpoint newest(Path output) {
    return CheckpointFolder.newest(output, line -> {}).orElseThrow();
  }

  /** The rows that are evaluated are random: what is learned of others soon makes them worse. */
  @Test
  void theResultIsTheBestSavedStepWhichIsKeptBeyondTheLimit() {
    run.with(watched(1, 2, 1, new EndRules(true, 0, 0), WatchdogSettings.PLAIN));
    Log log = new Log();
    Result result = run.run(output, Optional.empty(), log);
    EvalMetrics best = log.best(2);
    assertTrue(best.step() < STEPS, "the last is the best: the test shows nothing");
    assertEquals(List.of(STEPS, best.step()), CheckpointFolder.steps(output));
    assertEquals(best.evalLoss(), result.loss().orElseThrow());
    Path checkpoint = output.resolve("checkpoint-" + best.step());
    assertArrayEquals(weights(run.model(), checkpoint), weights(run.model(), output));
    assertArrayEquals(result.values(), weights(run.model(), output));
    assertEquals(
        String.format(
            "the result is step %d, whose eval_loss is the lowest of the saved steps: %.4f",
            best.step(), best.evalLoss()),
        log.notices.get(log.notices.size() - 1).text());
  }

  @Test
  void aBestStepThatIsGoneIsToldAndTheLastIsTheResult() {
    run.with(watched(1, 1, 1, new EndRules(true, 0, 0), WatchdogSettings.PLAIN));
    Log log = new Log();
    TrainListener remove =
        new TrainListener() {
          @Override
          public void saved(Path path) {
            if (path.endsWith("checkpoint-" + STEPS)) {
              try {
                WholeDirectory.delete(output.resolve("checkpoint-" + log.best(1).step()));
              } catch (IOException e) {
                throw new java.io.UncheckedIOException(e);
              }
            }
          }
        };
    Result result = run.run(output, Optional.empty(), log, remove);
    assertArrayEquals(result.values(), weights(run.model(), output));
    String text = log.notices.get(log.notices.size() - 1).text();
    assertTrue(text.contains("had the lowest eval_loss, but cannot be had again"), text);
    assertTrue(text.endsWith("the result is step " + STEPS), text);
  }

  @ParameterizedTest
  @ValueSource(booleans = {false, true})
  void aRunThatStopsEarlyStopsAtTheSameStepWhereverItWasGoneOnFrom(boolean loadBest)
      throws IOException {
    run.with(watched(1, 1, 0, new EndRules(loadBest, 3, 0.001), WatchdogSettings.PLAIN));
    Log whole = new Log();
    Result expected = run.run(output, Optional.empty(), whole);
    assertTrue(expected.steps() < STEPS, "it did not stop early: the test shows nothing");
    assertTrue(whole.reason.startsWith("stopped early (no eval_loss below "), whole.reason);
    assertEquals(RunNotice.Kind.EARLY_STOP, whole.notices.get(0).kind());
    for (int from = 1; from <= expected.steps(); from++) {
      Path other = Files.createDirectories(output.resolve("from" + from));
      for (int step = 1; step <= from; step++) {
        Directories.copy(output.resolve("checkpoint-" + step), other.resolve("checkpoint-" + step));
      }
      Log log = new Log();
      Result result = run.run(other, Optional.of(newest(other)), log);
      assertEquals(expected.steps(), result.steps(), "from " + from);
      assertArrayEquals(expected.values(), result.values(), "from " + from);
      assertEquals(
          whole.evaluations.stream().map(EvalMetrics::evalLoss).skip(from).toList(),
          log.evaluations.stream().map(EvalMetrics::evalLoss).toList());
    }
  }

  /** A stop in the middle of an evaluation; without it, one would be missing from the count. */
  @Test
  void anEvaluationThatWasBrokenOffIsDoneFirst() {
    TrainSettings settings = watched(2, 0, 0, new EndRules(false, 2, 0), WatchdogSettings.PLAIN);
    run.with(settings);
    Log whole = new Log();
    Result expected = run.run(output.resolve("whole"), Optional.empty(), whole);
    // asked after each step, and before each of two batches of an evaluation: the second of step 4
    AtomicInteger asked = new AtomicInteger();
    run.stopWhen(() -> asked.incrementAndGet() >= 2 + 1 + 1 + 1 + 2);
    assertThrows(
        TrainingInterruptedException.class, () -> run.run(output.resolve("out"), Optional.empty()));
    run.stopWhen(() -> false);
    SavedCheckpoint saved = newest(output.resolve("out"));
    assertEquals(4, saved.state().step());
    Log log = new Log();
    Result result = run.run(output.resolve("out"), Optional.of(saved), log);
    assertEquals(4, log.evaluations.get(0).step());
    assertArrayEquals(expected.values(), result.values());
    assertEquals(expected.steps(), result.steps());
  }

  @Test
  void evaluationsAndCheckpointsChangeNothingThatIsTrained() {
    float[] plain = run.run(output.resolve("plain"), Optional.empty()).values();
    run.with(TinyRun.settings(STEPS, 1, 3, 1));
    assertArrayEquals(plain, run.run(output.resolve("watched"), Optional.empty()).values());
  }

  /** What is made wrong, at the micro-batches of one step. */
  private enum Wrong {
    LOSS_NAN,
    LOSS_INFINITE,
    GRADIENT_NAN,
    SPIKE
  }

  /** Two micro-batches a step but for the last of an epoch: steps are told by their dropout key. */
  private static Objective wrong(Wrong wrong, int first, int last) {
    return (tape, model, batch, pass, normalizer, checkpointing) -> {
      long step = (pass.dropoutKey() - 7 * 0x9E3779B97F4A7C15L & ((1L << 40) - 1)) + 1;
      boolean now = pass.training() && step >= first && step <= last;
      double divisor =
          !now ? normalizer : wrong == Wrong.GRADIENT_NAN ? Double.NaN : normalizer / 1e6;
      CausalLm.Loss loss = USUAL.loss(tape, model, batch, pass, divisor, checkpointing);
      if (!now || wrong == Wrong.GRADIENT_NAN) {
        return loss;
      }
      double sum =
          switch (wrong) {
            case LOSS_NAN -> Double.NaN;
            case LOSS_INFINITE -> Double.POSITIVE_INFINITY;
            default -> 1e6 * loss.sum();
          };
      return new CausalLm.Loss(loss.value(), sum);
    };
  }

  private static WatchdogSettings skipping(OnSpike onSpike) {
    return new WatchdogSettings(OnNotFinite.SKIP, onSpike, 3, Double.POSITIVE_INFINITY, 3, 0);
  }

  @ParameterizedTest
  @EnumSource(Wrong.class)
  void aStepThatIsWrongIsNotAppliedAndCountedAndResumingEndsTheSame(Wrong wrong) {
    run.with(watched(0, 2, 0, EndRules.PLAIN, skipping(OnSpike.SKIP))).with(wrong(wrong, 12, 13));
    Log log = new Log();
    Result expected = run.run(output, Optional.empty(), log);
    assertEquals(STEPS, log.steps.size());
    assertEquals("finished (2 steps not applied)", log.reason);
    assertEquals(List.of(12, 13), log.notices.stream().map(RunNotice::step).toList());
    assertTrue(log.notices.get(0).text().contains("not applied (1 in a row"), "" + log.notices);
    // step 11's weights; step 14's are those of a step that was applied again
    boolean proven = wrong == Wrong.GRADIENT_NAN || wrong == Wrong.SPIKE;
    assertEquals(proven, Files.exists(output.resolve("checkpoint-12")), "no finite loss with them");
    if (proven) {
      float[] at12 = weights(run.model(), output.resolve("checkpoint-12"));
      assertFalse(Arrays.equals(weights(run.model(), output.resolve("checkpoint-10")), at12));
      assertFalse(Arrays.equals(weights(run.model(), output.resolve("checkpoint-14")), at12));
    }
    for (int from : proven ? new int[] {10, 12, 14} : new int[] {10, 14}) {
      SavedCheckpoint saved = SavedCheckpoint.open(output.resolve("checkpoint-" + from));
      Log again = new Log();
      Result result = run.run(output.resolve("again" + from), Optional.of(saved), again);
      assertArrayEquals(expected.values(), result.values(), "from " + from);
      assertEquals(log.reason, again.reason);
    }
  }

  @Test
  void tooManyStepsThatAreWrongInARowStopTheRunWithTheLastGoodWeights() {
    run.with(watched(0, 0, 0, EndRules.PLAIN, skipping(OnSpike.OFF)))
        .with(wrong(Wrong.GRADIENT_NAN, 5, 99));
    Log log = new Log();
    TrainingStoppedException e =
        assertThrows(TrainingStoppedException.class, () -> run.run(output, Optional.empty(), log));
    assertTrue(e.getMessage().startsWith("step 7: loss "), e.getMessage());
    assertTrue(
        e.getMessage()
            .contains(
                "gradient norm NaN, expected finite numbers, 3 such steps in a row; the"
                    + " weights of step 4 are in "
                    + output),
        e.getMessage());
    assertTrue(Files.exists(output.resolve(AdapterStore.WEIGHTS)));
  }

  @Test
  void theLastGoodWeightsDoNotGoIntoAnothersDirectory(@TempDir Path temp) throws IOException {
    run.with(watched(0, 0, 0, EndRules.PLAIN, skipping(OnSpike.OFF)))
        .with(wrong(Wrong.GRADIENT_NAN, 5, 99));
    Path named = temp.resolve("out");
    TrainListener swap =
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            if (metrics.step() == 5) {
              Directories.replace(named, temp.resolve("moved"));
            }
          }
        };
    TrainingStoppedException e =
        assertThrows(TrainingStoppedException.class, () -> run.run(named, Optional.empty(), swap));
    Matcher message =
        Pattern.compile(
                "step 7: loss .*, 3 such steps in a row; the weights of step 4: .* no longer the"
                    + " directory.*; what was trained is in (.*) instead: move it away from there;"
                    + " .*")
            .matcher(e.getMessage());
    assertTrue(message.matches(), e.getMessage());
    try (Stream<Path> entries = Files.list(named)) {
      assertEquals(0, entries.count());
    }
    Path elsewhere = Path.of(message.group(1));
    assertTrue(Files.exists(elsewhere.resolve(AdapterStore.WEIGHTS)));
    WholeDirectory.delete(elsewhere);
  }

  /** The update of step 4 is what may have made them so: checkpoint-4 has it, too. */
  @Test
  void weightsThatGiveNoFiniteLossAreNotWrittenAndTheCheckpointBeforeThemIsNamed() {
    run.with(watched(0, 2, 0, EndRules.PLAIN, skipping(OnSpike.OFF)))
        .with(wrong(Wrong.LOSS_NAN, 5, 99));
    TrainingStoppedException e =
        assertThrows(TrainingStoppedException.class, () -> run.run(output, Optional.empty()));
    String left =
        "no finite loss was computed with the weights of step 4, so they are not written;"
            + " resume_from_checkpoint: "
            + output.resolve("checkpoint-2")
            + " goes on from before them";
    assertTrue(e.getMessage().contains(left), e.getMessage());
    assertEquals(List.of(4, 2), CheckpointFolder.steps(output), "none of step 6");
    assertFalse(Files.exists(output.resolve(AdapterStore.WEIGHTS)));

    SavedCheckpoint four = SavedCheckpoint.open(output.resolve("checkpoint-4"));
    Path other = output.resolve("other");
    e =
        assertThrows(
            TrainingStoppedException.class, () -> run.run(other, Optional.of(four), new Log()));
    assertTrue(e.getMessage().contains("no checkpoint from before them is left"), e.getMessage());
  }

  @Test
  void aRunWhoseLastStepsGiveNoFiniteLossHasNoResult() {
    run.with(watched(0, 4, 0, EndRules.PLAIN, skipping(OnSpike.OFF)))
        .with(wrong(Wrong.LOSS_INFINITE, STEPS - 1, STEPS))
        .withEvalRows(0); // a finite loss of theirs would prove the weights
    TrainingStoppedException e =
        assertThrows(TrainingStoppedException.class, () -> run.run(output, Optional.empty()));
    assertTrue(
        e.getMessage().startsWith("the run ends after step 16; no finite loss was computed"),
        e.getMessage());
    assertTrue(e.getMessage().contains(output.resolve("checkpoint-12").toString()), e.getMessage());
    assertEquals(List.of(12, 8, 4), CheckpointFolder.steps(output));
    assertFalse(Files.exists(output.resolve(AdapterStore.WEIGHTS)));
  }

  @Test
  void aCheckpointThatIsDueWhileTheWeightsAreInDoubtIsWrittenOnceTheyAreNot() {
    run.with(watched(0, 5, 0, EndRules.PLAIN, skipping(OnSpike.OFF)))
        .with(wrong(Wrong.LOSS_NAN, 5, 6));
    run.run(output, Optional.empty());
    assertEquals(List.of(15, 10, 7), CheckpointFolder.steps(output));
  }

  @Test
  void aRunThatIsStoppedWhileTheWeightsAreInDoubtIsNotSavedAndSaysSo() {
    Log log = new Log();
    run.with(watched(0, 2, 0, EndRules.PLAIN, skipping(OnSpike.OFF)))
        .with(wrong(Wrong.LOSS_NAN, 5, 6))
        .stopWhen(() -> log.steps.size() == 5);
    TrainingInterruptedException e =
        assertThrows(
            TrainingInterruptedException.class, () -> run.run(output, Optional.empty(), log));
    assertEquals(
        "stopped after step 5 of 16: no finite loss was computed with the weights of step 4, so"
            + " they are not written; resume_from_checkpoint: "
            + output.resolve("checkpoint-2")
            + " goes on from before them",
        e.getMessage());
    assertEquals(List.of(4, 2), CheckpointFolder.steps(output));
  }

  /** A weight that is not finite cannot be mended by leaving steps out, and is never saved. */
  @Test
  void aWeightThatIsNotFiniteIsNeverSavedAndTheLastGoodCheckpointIsNamed() {
    run.with(watched(0, 4, 0, EndRules.PLAIN, skipping(OnSpike.OFF)));
    try (LoraAdapter adapter = run.inject()) {
      TrainListener poison =
          new TrainListener() {
            @Override
            public void stepEnded(StepMetrics metrics) {
              if (metrics.step() == 5) {
                float[] values = adapter.parameters().values().toFloats();
                values[3] = Float.NaN;
                adapter.parameters().setValues(FloatBuffer.wrap(values));
              }
            }
          };
      TrainingStoppedException e =
          assertThrows(
              TrainingStoppedException.class,
              () -> run.run(adapter, output, Optional.empty(), poison));
      String kept = "resume_from_checkpoint: " + output.resolve("checkpoint-4") + " goes on from";
      assertTrue(e.getMessage().contains(kept), e.getMessage());
    }
    assertEquals(List.of(4), CheckpointFolder.steps(output));
    assertFalse(Files.exists(output.resolve(AdapterStore.WEIGHTS)));
  }

  @Test
  void aStepThatIsLeftOutIsAStepOfTheSchedule() {
    run.with(watched(0, 0, 0, EndRules.PLAIN, skipping(OnSpike.SKIP)));
    Log sound = new Log();
    run.run(output.resolve("sound"), Optional.empty(), sound);
    Log log = new Log();
    run.with(wrong(Wrong.LOSS_NAN, 5, 6)).run(output.resolve("out"), Optional.empty(), log);
    assertEquals("finished (2 steps not applied)", log.reason);
    assertEquals(
        sound.steps.stream().map(StepMetrics::learningRate).toList(),
        log.steps.stream().map(StepMetrics::learningRate).toList());
  }

  @Test
  void aSpikeThatIsOnlyWarnedOfIsApplied() {
    run.with(watched(0, 0, 0, EndRules.PLAIN, skipping(OnSpike.WARN)))
        .with(wrong(Wrong.SPIKE, 12, 12));
    Log log = new Log();
    run.run(output, Optional.empty(), log);
    assertEquals("finished", log.reason);
    assertEquals(1, log.notices.size());
    assertEquals(RunNotice.Kind.SPIKE, log.notices.get(0).kind());
  }

  /** {@code -Dnibble.steps=10000} takes so many steps. */
  @Test
  void manyStepsLeaveNoMemoryBehind() {
    int steps = Integer.getInteger("nibble.steps", 2000);
    TrainSettings settings = TinyRun.settings(steps, steps / 8, steps / 8, 1);
    run.with(
        new TrainSettings(
            1,
            1,
            steps,
            settings.learningRate(),
            settings.schedule(),
            settings.optimizer(),
            settings.maxGradNorm(),
            settings.checkpointing(),
            settings.evalSteps(),
            1,
            settings.saveSteps(),
            1,
            7));
    List<Long> live = new ArrayList<>();
    List<Long> resident = new ArrayList<>();
    TrainListener memory =
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            live.add(Tensor.live());
            resident.add(metrics.memoryBytes());
          }
        };
    run.run(output, Optional.empty(), memory);
    assertEquals(live.get(1), live.get(steps - 1), "tensors alive after a step");
    long quarter = resident.get(steps / 4);
    long last = resident.get(steps - 1);
    // a leak of one row's activations, 100 kB a step, would be 150 MB; the Java heap may grow
    assertTrue(last - quarter < 64 << 20, "resident " + quarter + " after a quarter, then " + last);
  }
}
