package ai.nibble.train;

import ai.nibble.TinyChat;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetModules;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.function.BooleanSupplier;

/**
 * Runs of some milliseconds a step: two layers, adapters of rank 2 on {@code q_proj}, dropout,
 * accumulation of two micro-batches, epochs that end within a run.
 */
public final class TinyRun implements AutoCloseable {
  private final int threadsBefore = Torch.threads();
  private final CausalLm model;
  private final LoraConfig config;
  private TrainSettings settings;
  private Objective objective = new SupervisedFineTuning();
  private BooleanSupplier stopWhen = () -> false;
  private int evalRows = 3;

  /**
   * @param directory for the base model
   */
  public TinyRun(Path directory, int steps) throws IOException {
    this(directory, steps, DType.FLOAT32);
  }

  /** A run that computes in another dtype. */
  TinyRun(Path directory, int steps, DType compute) throws IOException {
    this(directory, steps, compute, Device.CPU);
  }

  /** A run on another device. */
  TinyRun(Path directory, int steps, DType compute, Device device) throws IOException {
    // products this small take longer to hand to a second thread than to do
    Torch.setThreads(1);
    Path base = TinyChat.write(directory);
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    this.model = CausalLm.load(base, new LoadOptions(Optional.of(nf4), compute).on(device));
    this.config =
        LoraConfig.DEFAULT
            .withRank(2, 4)
            .withDropout(0.1)
            .withTargets(new TargetModules.Names(List.of("q_proj")));
    this.settings = settings(steps, 0, 0, 0);
  }

  /** Settings with other intervals. */
  public static TrainSettings settings(int steps, int evalSteps, int saveSteps, int limit) {
    return new TrainSettings(
        2,
        2,
        steps,
        1e-2,
        new Schedule.Linear(0, steps),
        AdamWConfig.DEFAULT,
        1,
        Checkpointing.NONE,
        evalSteps,
        2,
        saveSteps,
        limit,
        7);
  }

  TinyRun with(TrainSettings other) {
    settings = other;
    return this;
  }

  TinyRun with(Objective other) {
    objective = other;
    return this;
  }

  TinyRun withEvalRows(int rows) {
    evalRows = rows;
    return this;
  }

  TinyRun stopWhen(BooleanSupplier condition) {
    stopWhen = condition;
    return this;
  }

  CausalLm model() {
    return model;
  }

  /** Rows of several lengths, all of whose tokens carry loss. */
  static List<Example> rows(int count, long seed) {
    Random random = new Random(seed);
    List<Example> rows = new ArrayList<>();
    for (int r = 0; r < count; r++) {
      int[] ids = random.ints(3 + r % 4, 1, 60).toArray();
      rows.add(new Example(ids, ids));
    }
    return rows;
  }

  /** What a run left in memory. */
  record Result(float[] values, OptionalDouble loss, int steps) {}

  LoraAdapter inject() {
    return LoraAdapter.inject(model, config, 5);
  }

  /** Runs from the beginning or a checkpoint. */
  Result run(Path output, Optional<SavedCheckpoint> from, TrainListener... listeners) {
    try (LoraAdapter adapter = inject()) {
      return run(adapter, output, from, listeners);
    }
  }

  Result run(
      LoraAdapter adapter,
      Path output,
      Optional<SavedCheckpoint> from,
      TrainListener... listeners) {
    Trainer trainer =
        new Trainer(
            model, adapter, objective, settings, rows(7, 3), rows(evalRows, 4), List.of(listeners));
    from.ifPresent(trainer::resume);
    trainer.stopWhen(stopWhen);
    OptionalDouble loss = trainer.run(new RunPlace(output, "base", "", Map.of("seed", "7")));
    return new Result(adapter.parameters().values().toFloats(), loss, trainer.stepsDone());
  }

  @Override
  public void close() {
    model.close();
    Torch.setThreads(threadsBefore);
  }
}
