package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.autograd.Variable;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.RecordingCopies;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.DoubleSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Where a device computes, a step's loss is read when the next step is queued: nothing else
 * changes. Kernels are compiled for the host, and its copies are made when they are waited for.
 */
class QueuedStepsTest {
  private static final int STEPS = 7;
  private static final int MICRO_BATCHES = 2;

  @TempDir Path temp;
  private KernelLaunchers.Installation kernels;

  @BeforeEach
  void install() {
    kernels = HostKernels.install();
  }

  @AfterEach
  void remove() {
    kernels.close();
  }

  /** What listeners heard, in order, times and memory left out. */
  private static final class Log implements TrainListener {
    private final List<String> heard = new ArrayList<>();

    @Override
    public void stepStarted(int step) {
      heard.add("begins " + step);
    }

    @Override
    public void stepEnded(StepMetrics m) {
      heard.add(
          String.join(
              " ",
              "step " + m.step(),
              "loss " + m.loss(),
              "norm " + m.gradNorm(),
              "lr " + m.learningRate(),
              "epoch " + m.epoch(),
              "tokens " + m.tokens()));
      assertTrue(m.tokensPerSecond() > 0);
    }

    @Override
    public void evaluated(EvalMetrics m) {
      heard.add("evaluated " + m.step() + " " + m.evalLoss());
    }
  }

  private record Ran(float[] values, List<String> heard, String message) {}

  private Ran run(String name, TrainSettings settings, Objective objective) throws IOException {
    Log log = new Log();
    try (TinyRun run = new TinyRun(temp.resolve(name + "-base"), STEPS);
        LoraAdapter adapter = run.with(settings).with(objective).inject()) {
      String message = "";
      try {
        run.run(adapter, temp.resolve(name), Optional.empty(), log);
      } catch (TrainingStoppedException e) {
        message = e.getMessage().replace(temp.resolve(name).toString(), "OUT");
      }
      return new Ran(adapter.parameters().values().toFloats(), log.heard, message);
    }
  }

  private static void assertSame(Ran expected, Ran ran) {
    assertEquals(expected.heard, ran.heard);
    assertArrayEquals(expected.values, ran.values);
    assertEquals(expected.message, ran.message);
  }

  /** An evaluation after the third and sixth step, a checkpoint after the fourth. */
  private static TrainSettings settings() {
    return TinyRun.settings(STEPS, 3, 4, 0);
  }

  @Test
  void listenersHearTheSameAndTheWeightsAreTheSame() throws IOException {
    Ran expected = run("at-once", settings(), new SupervisedFineTuning());
    for (boolean eager : new boolean[] {false, true}) {
      try (RecordingCopies copies = new RecordingCopies(eager)) {
        Ran ran = run("queued" + eager, settings(), new SupervisedFineTuning());
        assertSame(expected, ran);
        // of each step both losses, and the norm of those after the first, which shows that all
        // learn; the losses of three evaluations, of two batches each
        long numbers = STEPS * MICRO_BATCHES + STEPS - 1 + 3 * 2;
        assertEquals(numbers, copies.count("cuMemcpyDtoHAsync"));
        assertEquals(0, copies.held(), "freed with the adapter");
        int twoSteps = 2 * (MICRO_BATCHES + 1);
        assertEquals(twoSteps, mostUnderWay(copies.calls()), "" + copies.calls());
      }
    }
    assertArrayEquals(
        Files.readAllBytes(temp.resolve("at-once/checkpoint-4/adapter_model.safetensors")),
        Files.readAllBytes(temp.resolve("queuedfalse/checkpoint-4/adapter_model.safetensors")));
  }

  /** The most numbers that were on their way at once. */
  private static int mostUnderWay(List<String> calls) {
    int most = 0;
    int underWay = 0;
    for (String call : calls) {
      underWay += call.startsWith("cuMemcpyDtoHAsync") ? 1 : 0;
      underWay -= call.startsWith("cuEventSynchronize") ? 1 : 0;
      most = Math.max(most, underWay);
    }
    return most;
  }

  /** What is no number in a step's second micro-batch. */
  private enum Breaks {
    LOSS,
    GRADIENT,
    BOTH
  }

  private static Objective breaksAt(int step, Breaks what) {
    AtomicInteger seen = new AtomicInteger();
    SupervisedFineTuning plain = new SupervisedFineTuning();
    return (tape, model, batch, pass, normalizer, checkpointing) -> {
      boolean breaks = pass.training() && seen.incrementAndGet() == step * MICRO_BATCHES;
      CausalLm.Loss loss = plain.loss(tape, model, batch, pass, normalizer, checkpointing);
      if (!breaks) {
        return loss;
      }
      Variable value = tape.apply(new NoNumber(what), loss.value());
      DoubleSupplier sum = what == Breaks.GRADIENT ? loss.total() : () -> Double.NaN;
      return new CausalLm.Loss(value, sum, loss.measures(), loss.later());
    };
  }

  /** A number in place of which there is none, forward, backward, or both. */
  private static final class NoNumber extends Function {
    private final Breaks what;

    NoNumber(Breaks what) {
      this.what = what;
    }

    private static Tensor none() {
      return Tensor.of(new float[] {Float.NaN}, 1);
    }

    @Override
    protected Tensor[] forward(Tensor[] inputs) {
      return new Tensor[] {what == Breaks.GRADIENT ? inputs[0].share() : none()};
    }

    @Override
    protected void backward(Tensor[] gradOutputs, Gradients gradients) {
      if (what == Breaks.LOSS) {
        gradients.pass(0, gradOutputs[0]);
      } else {
        gradients.add(0, none());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Breaks.class)
  void whatIsNoNumberEndsTheRunOneStepLaterWithTheWeightsOfBefore(Breaks what) throws IOException {
    TrainSettings settings = TinyRun.settings(STEPS, 0, 0, 0);
    for (int step : new int[] {2, STEPS}) {
      Ran expected = run("at-once" + step, settings, breaksAt(step, what));
      // of a loss that is no number nobody computes the norm
      String number = what == Breaks.GRADIENT ? "\\d+\\.\\d{4}, gradient norm NaN" : "NaN";
      String says = "(?s)step " + step + ": loss " + number + ", expected finite numbers.*";
      assertTrue(expected.message.matches(says), expected.message);
      try (RecordingCopies copies = new RecordingCopies(false)) {
        assertSame(expected, run("queued" + step, settings, breaksAt(step, what)));
        assertTrue(copies.count("cuMemcpyDtoHAsync") > 0);
      }
    }
  }

  /** Neither the checkpoint that is due after the step nor the evaluation comes before the news. */
  @Test
  void nothingIsWrittenOfAStepWhoseLossIsNotKnown() throws IOException {
    try (RecordingCopies copies = new RecordingCopies(false)) {
      Ran ran = run("queued", settings(), breaksAt(4, Breaks.BOTH));
      assertTrue(ran.message.startsWith("step 4: loss NaN"), ran.message);
      assertFalse(Files.exists(temp.resolve("queued/checkpoint-4")));
      assertTrue(copies.count("cuMemcpyDtoHAsync") > 0);
    }
  }

  /**
   * What the next step does hangs on it: whether a loss is too high, or a step is to be skipped.
   * The losses of a step are read when all of its micro-batches are queued.
   */
  @Test
  void whereTheNextStepHangsOnItTheLossIsReadAtOnce() throws IOException {
    double none = Double.POSITIVE_INFINITY;
    for (WatchdogSettings watchdog :
        List.of(
            new WatchdogSettings(OnNotFinite.SKIP, OnSpike.OFF, 2, none, 3, 0),
            new WatchdogSettings(OnNotFinite.STOP, OnSpike.SKIP, 2, none, 3, 0))) {
      try (RecordingCopies copies = new RecordingCopies(false)) {
        run(
            "watched" + watchdog.onSpike(),
            settings().with(EndRules.PLAIN, watchdog),
            breaksAt(4, Breaks.BOTH));
        assertEquals(MICRO_BATCHES, mostUnderWay(copies.calls()), "losses of one step");
      }
    }
  }

  @Test
  void aRunThatIsAskedToStopSavesWhatWasTrained() throws IOException {
    try (RecordingCopies copies = new RecordingCopies(false);
        TinyRun run = new TinyRun(temp.resolve("base"), STEPS)) {
      AtomicInteger looked = new AtomicInteger();
      run.with(TinyRun.settings(STEPS, 0, 0, 0)).stopWhen(() -> looked.incrementAndGet() == 3);
      Log log = new Log();
      assertThrows(
          TrainingInterruptedException.class,
          () -> run.run(temp.resolve("out"), Optional.empty(), log));
      assertTrue(Files.isDirectory(temp.resolve("out/checkpoint-3")));
      assertTrue(log.heard.get(log.heard.size() - 1).startsWith("step 3 "), "" + log.heard);
      assertTrue(copies.count("cuEventSynchronize") > 0);
    }
  }
}
