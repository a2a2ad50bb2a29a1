package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Sha256;
import ai.nibble.TinyChat;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Example;
import ai.nibble.data.RowOrder;
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
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A run that goes on from a checkpoint ends where the one that was not interrupted ends. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class ResumeTest {
  private static final Map<String, String> IDENTITY = Map.of("learning_rate", "1e-2");

  /** Steps of 3 rows twice: epochs of 20 rows end within the run, one of them in step 4. */
  private static final int STEPS = 12;

  private CausalLm model;
  private float[] expected;
  private RowOrder order = RowOrder.SHUFFLED;

  @BeforeAll
  void trainWithoutInterruption(@TempDir Path shared) throws IOException {
    Path base = TinyChat.write(shared.resolve("base"));
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    model = CausalLm.load(base, new LoadOptions(Optional.of(nf4), DType.FLOAT32));
    try (LoraAdapter adapter = inject()) {
      trainer(adapter, 0, new Log()).run(place(shared.resolve("whole")));
      expected = values(adapter);
    }
  }

  @AfterAll
  void close() {
    model.close();
  }

  private LoraAdapter inject() {
    return LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(4, 8).withDropout(0.1), 5);
  }

  private static float[] values(LoraAdapter adapter) {
    return adapter.parameters().values().toFloats();
  }

  private static RunPlace place(Path output) {
    return new RunPlace(output, "base", "", IDENTITY);
  }

  private static List<Example> rows(int count) {
    Random random = new Random(3);
    List<Example> rows = new ArrayList<>();
    for (int r = 0; r < count; r++) {
      int[] ids = random.ints(4 + r % 5, 1, 60).toArray();
      rows.add(new Example(ids, ids));
    }
    return rows;
  }

  private static final class Log implements TrainListener {
    private final List<StepMetrics> steps = new ArrayList<>();

    @Override
    public void stepEnded(StepMetrics metrics) {
      steps.add(metrics);
    }
  }

  private Trainer trainer(LoraAdapter adapter, int saveSteps, Log log) {
    TrainSettings settings =
        new TrainSettings(
                3,
                2,
                STEPS,
                1e-2,
                new Schedule.Cosine(2, STEPS),
                AdamWConfig.DEFAULT,
                1,
                Checkpointing.NONE,
                0,
                3,
                saveSteps,
                2,
                7)
            .withOrder(order, RowOrder.AS_GIVEN);
    return new Trainer(
        model, adapter, new SupervisedFineTuning(), settings, rows(20), List.of(), List.of(log));
  }

  /** Runs until so many steps are done; the interruption leaves a checkpoint. */
  private void interrupted(Path output, int steps) {
    try (LoraAdapter adapter = inject()) {
      AtomicInteger left = new AtomicInteger(steps);
      Trainer trainer = trainer(adapter, 0, new Log());
      trainer.stopWhen(() -> left.decrementAndGet() == 0);
      assertThrows(TrainingInterruptedException.class, () -> trainer.run(place(output)));
    }
  }

  private static SavedCheckpoint newest(Path output) {
    return CheckpointFolder.newest(output, line -> {}).orElseThrow();
  }

  private float[] resumed(Path output, Log log) {
    // another initialisation: nothing of it may be left
    try (LoraAdapter adapter =
        LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(4, 8).withDropout(0.1), 6)) {
      Trainer trainer = trainer(adapter, 0, log);
      trainer.resume(newest(output));
      trainer.run(place(output));
      return values(adapter);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11})
  void interruptedAfterAnyStepItEndsWithTheSameBits(int step, @TempDir Path output) {
    interrupted(output, step);
    assertEquals(step, newest(output).state().step());
    Log log = new Log();
    assertArrayEquals(expected, resumed(output, log));
    assertEquals(
        IntStream.rangeClosed(step + 1, STEPS).boxed().toList(),
        log.steps.stream().map(StepMetrics::step).toList());
  }

  /** Three packs a micro-batch, of about two rows: several epochs, interrupted in their midst. */
  @Test
  void withPacksOrGroupsItEndsWithTheSameBitsToo(@TempDir Path output) {
    try {
      for (RowOrder asked : List.of(new RowOrder.Packed(14), new RowOrder.LengthGrouped(3))) {
        order = asked;
        Path here = output.resolve(asked.unit());
        float[] whole;
        try (LoraAdapter adapter = inject()) {
          trainer(adapter, 0, new Log()).run(place(here.resolve("whole")));
          whole = values(adapter);
        }
        assertFalse(Arrays.equals(expected, whole), "another order gives another adapter");
        for (int step : new int[] {1, 2, 3, 7}) {
          Path cut = here.resolve("" + step);
          interrupted(cut, step);
          assertEquals(asked.toString(), newest(cut).state().order());
          assertArrayEquals(whole, resumed(cut, new Log()), asked + ", step " + step);
        }
      }
    } finally {
      order = RowOrder.SHUFFLED;
    }
  }

  @Test
  void anEpochOfRowsInAnotherOrderBeginsAgain(@TempDir Path output) {
    interrupted(output, 2);
    try (LoraAdapter adapter = inject()) {
      order = new RowOrder.Packed(14);
      assertFalse(trainer(adapter, 0, new Log()).resume(newest(output)));
      order = RowOrder.SHUFFLED;
      assertTrue(trainer(adapter, 0, new Log()).resume(newest(output)));
    } finally {
      order = RowOrder.SHUFFLED;
    }
  }

  @Test
  void interruptedAgainAndAgainItEndsWithTheSameBits(@TempDir Path output) {
    interrupted(output, 1);
    for (int step = 2; step < STEPS; step++) {
      try (LoraAdapter adapter = inject()) {
        Trainer trainer = trainer(adapter, 0, new Log());
        trainer.resume(newest(output));
        trainer.stopWhen(() -> true);
        assertThrows(TrainingInterruptedException.class, () -> trainer.run(place(output)));
      }
    }
    assertArrayEquals(expected, resumed(output, new Log()));
  }

  @Test
  void checkpointsOnTheWayChangeNothingAndAreGoneOnFrom(@TempDir Path output) {
    try (LoraAdapter adapter = inject()) {
      trainer(adapter, 5, new Log()).run(place(output));
      assertArrayEquals(expected, values(adapter));
    }
    assertEquals(10, newest(output).state().step());
    assertArrayEquals(expected, resumed(output, new Log()));
  }

  @Test
  void theControlADifferentCursorEndsElsewhere(@TempDir Path output) throws IOException {
    interrupted(output, 5);
    Path state = newest(output).directory().resolve("trainer_state.json");
    // with its sum mended, or the change would be found
    Path manifest = state.resolveSibling("manifest.json");
    String before = Files.readString(state);
    String after = before.replaceFirst("\"position\" : \\d+", "\"position\" : 0");
    assertTrue(!after.equals(before), before);
    Files.writeString(state, after);
    Files.writeString(manifest, withSum(Files.readString(manifest), state));
    float[] other = resumed(output, new Log());
    int same = 0;
    for (int i = 0; i < other.length; i++) {
      same += other[i] == expected[i] ? 1 : 0;
    }
    assertTrue(same < other.length / 2, same + " of " + other.length);
  }

  private static String withSum(String manifest, Path file) throws IOException {
    String entry = "(\"trainer_state.json\" : \\{\\s*\"bytes\" : )\\d+(,\\s*\"sha256\" : \")\\w+";
    return manifest.replaceFirst(entry, "$1" + Files.size(file) + "$2" + Sha256.of(file));
  }

  @Test
  void aCheckpointBeyondTheRunsLastStepIsRefused(@TempDir Path output) {
    interrupted(output, 3);
    try (LoraAdapter adapter = inject()) {
      TrainSettings shorter =
          new TrainSettings(
              3,
              2,
              2,
              1e-2,
              new Schedule.Constant(0),
              AdamWConfig.DEFAULT,
              1,
              Checkpointing.NONE,
              0,
              3,
              0,
              2,
              7);
      Trainer trainer =
          new Trainer(
              model, adapter, new SupervisedFineTuning(), shorter, rows(20), List.of(), List.of());
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> trainer.resume(newest(output)));
      assertEquals(
          newest(output).directory()
              + ": is at step 3 and row 18, but this run has 2 steps and 20 rows",
          e.getMessage());
    }
  }

  @Test
  void aCheckpointOfOtherParametersIsRefusedAndChangesNothing(@TempDir Path output) {
    interrupted(output, 2);
    try (LoraAdapter adapter = LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(2, 8), 5)) {
      float[] before = values(adapter);
      Trainer trainer = trainer(adapter, 0, new Log());
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> trainer.resume(newest(output)));
      assertTrue(e.problems().get(0).contains("has the shape"), e.problems().get(0));
      assertArrayEquals(before, values(adapter));
    }
  }
}
