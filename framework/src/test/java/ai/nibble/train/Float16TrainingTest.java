package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Tape;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Batch;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.train.TinyRun.Result;
import ai.nibble.train.log.RunNotice;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs in float16, whose gradients are scaled to stay within its range. */
class Float16TrainingTest {
  private static final int STEPS = 8;

  @TempDir Path folder;

  private static final class Log implements TrainListener {
    private final List<StepMetrics> steps = new ArrayList<>();
    private final List<RunNotice> notices = new ArrayList<>();

    @Override
    public void stepEnded(StepMetrics metrics) {
      steps.add(metrics);
    }

    @Override
    public void noticed(RunNotice notice) {
      notices.add(notice);
    }

    private double[] losses() {
      return steps.stream().mapToDouble(StepMetrics::loss).toArray();
    }

    private double[] learningRates() {
      return steps.stream().mapToDouble(StepMetrics::learningRate).toArray();
    }

    private List<String> overflows() {
      return notices.stream()
          .filter(n -> n.kind() == RunNotice.Kind.LOSS_SCALE)
          .map(RunNotice::text)
          .toList();
    }
  }

  private TinyRun run(DType compute, String base) throws IOException {
    TinyRun run = new TinyRun(folder.resolve(base), STEPS, compute);
    return run.with(TinyRun.settings(STEPS, 0, 2, 0));
  }

  /** The usual loss, but its gradient is a power of two larger: only some scales can hold it. */
  private static Objective steeper(int exponent) {
    Objective usual = new SupervisedFineTuning();
    return (Tape tape,
        CausalLm model,
        Batch batch,
        Pass pass,
        double normalizer,
        Checkpointing checkpointing) ->
        usual.loss(tape, model, batch, pass, Math.scalb(normalizer, -exponent), checkpointing);
  }

  @Test
  void lossesAreThoseOfFloat32() throws IOException {
    Log wide = new Log();
    Log half = new Log();
    try (TinyRun run = run(DType.FLOAT32, "a").with(steeper(-4))) {
      run.run(folder.resolve("wide"), Optional.empty(), wide);
    }
    try (TinyRun run = run(DType.FLOAT16, "b").with(steeper(-4))) {
      run.run(folder.resolve("half"), Optional.empty(), half);
    }
    assertEquals(List.of(), half.overflows());
    // activations of some units keep 11 bits, and losses are about 4 nats
    assertArrayEquals(wide.losses(), half.losses(), 4 * 0x1p-9);
    assertArrayEquals(wide.learningRates(), half.learningRates());
  }

  @Test
  void stepsThatOverflowHalveTheScaleAndAreNotApplied() throws IOException {
    Log log = new Log();
    try (TinyRun run = run(DType.FLOAT16, "base")) {
      run.run(folder.resolve("out"), Optional.empty(), log);
    }
    int skipped = log.overflows().size();
    assertTrue(skipped > 0 && skipped < STEPS - 2, skipped + " steps overflow");
    assertEquals(
        "step 1: gradients overflow float16: not applied, the loss scale is halved",
        log.overflows().get(0));
    double[] rates = log.learningRates();
    for (int s = 0; s < STEPS; s++) {
      // the linear schedule counts the steps that were applied
      assertEquals(1e-2 * (STEPS - Math.max(0, s - skipped)) / STEPS, rates[s], 1e-12);
    }
    assertTrue(log.losses()[STEPS - 1] < log.losses()[0]);
  }

  @Test
  void aRunThatGoesOnHasTheSameBitsAndTheSameScale() throws IOException {
    Log whole = new Log();
    Log rest = new Log();
    try (TinyRun run = run(DType.FLOAT16, "base")) {
      Result expected = run.run(folder.resolve("whole"), Optional.empty(), whole);
      SavedCheckpoint second = SavedCheckpoint.open(folder.resolve("whole/checkpoint-2"));
      Result resumed = run.run(folder.resolve("rest"), Optional.of(second), rest);
      assertArrayEquals(expected.values(), resumed.values());
    }
    assertArrayEquals(Arrays.copyOfRange(whole.learningRates(), 2, STEPS), rest.learningRates());
  }

  @Test
  void gradientsThatNoScaleHoldsEndTheRun() throws IOException {
    try (TinyRun run = new TinyRun(folder.resolve("base"), 30, DType.FLOAT16)) {
      Log log = new Log();
      run.with(TinyRun.settings(30, 0, 0, 0)).with(steeper(60));
      TrainingStoppedException e =
          assertThrows(
              TrainingStoppedException.class,
              () -> run.run(folder.resolve("out"), Optional.empty(), log));
      assertEquals(16, log.overflows().size());
      assertTrue(e.getMessage().contains("step 17: loss "), e.getMessage());
      assertTrue(e.getMessage().contains("expected finite numbers"), e.getMessage());
    }
  }
}
