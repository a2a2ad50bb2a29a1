package ai.nibble.plan;

import ai.nibble.model.Checkpointing;
import ai.nibble.model.MemoryPart;
import ai.nibble.model.ModelShape;
import ai.nibble.model.StepMemory;
import ai.nibble.model.WeightSizes;
import ai.nibble.nn.Extent;
import ai.nibble.optim.GradientTree;
import ai.nibble.tensor.DType;
import java.util.Collections;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Function;

/**
 * All that a run's memory follows from.
 *
 * @param model sizes of the model and of what is trained on it
 * @param weights as they are held; empty where all of them are trained
 * @param parameters trained values
 * @param largestParameter values of the largest trained tensor
 * @param accumulation micro-batches of a step
 * @param optimizer bytes that the optimizer remembers
 * @param train large micro-batches, of which one needs the most; the first has the most tokens
 * @param evaluate the largest batch of an evaluation; empty without evaluation
 * @param generation bytes of answers before and after training; 0 without
 * @param rows bytes of the rows as they are held
 * @param merging bytes of a merge beside its process
 * @param onAnswers whether the loss is one on whole answers
 * @param extent of a pass: precision and place; whose sequences it is of does not matter
 * @param host the process around it
 */
public record PlannedRun(
    ModelShape model,
    WeightSizes weights,
    long parameters,
    long largestParameter,
    int accumulation,
    long optimizer,
    List<MicroBatch> train,
    Optional<MicroBatch> evaluate,
    long generation,
    long rows,
    long merging,
    boolean onAnswers,
    Function<MicroBatch, Extent> extent,
    Host host) {

  /** The plan with a way of checkpointing. */
  public MemoryPlan plan(Checkpointing checkpointing) {
    StepMemory.Result step = step(largest(checkpointing), checkpointing);
    Map<Component, Long> loading = loaded();
    Map<Component, Long> training = trainer();
    loading.put(Component.LOADING, weights.whileLoading());
    Map<Component, Long> saving = new EnumMap<>(training);
    saving.put(Component.WORKSPACE, buffers(step));
    saving.put(Component.SAVING, 2 * DType.FLOAT32.bytes() * largestParameter);
    add(training, step);
    Map<Phase, Map<Component, Long>> phases = new EnumMap<>(Phase.class);
    phases.put(Phase.LOAD, withProcess(loading));
    phases.put(Phase.TRAIN, withProcess(withHoles(training, step)));
    if (evaluate.isPresent() || generation > 0) {
      phases.put(Phase.EVALUATE, withProcess(evaluation(step)));
    }
    phases.put(Phase.SAVE, withProcess(saving));
    if (merging > 0) {
      Map<Component, Long> merge = new EnumMap<>(Component.class);
      merge.put(Component.LOADING, merging);
      merge.put(Component.PROCESS, host.process());
      phases.put(Phase.MERGE, merge);
    }
    return new MemoryPlan(phases);
  }

  /** Whether linears are held in codes, and dequantised for their products. */
  public boolean isQuantized() {
    return weights.of(WeightSizes.Form.CODES_4BIT) + weights.of(WeightSizes.Form.CODES_8BIT) > 0;
  }

  /** Bytes that each layer would take whose weights stayed dequantised. */
  public List<Long> dequantizedBytes() {
    Extent where = extent.apply(train.get(0));
    return model.layers().stream().map(layer -> layer.dequantizedBytes(where)).toList();
  }

  /** The micro-batch that needs the most. */
  public MicroBatch largest(Checkpointing checkpointing) {
    return Collections.max(
        train, Comparator.comparingLong(batch -> step(batch, checkpointing).peak()));
  }

  private StepMemory.Result step(MicroBatch batch, Checkpointing checkpointing) {
    int loss = Math.max(1, batch.lossTokens());
    return onAnswers
        ? StepMemory.trainingOnAnswers(model, extent.apply(batch), loss, checkpointing)
        : StepMemory.training(model, extent.apply(batch), loss, checkpointing);
  }

  /** Bytes that a way of checkpointing puts into the main memory of a GPU's machine. */
  public long onHost(Checkpointing checkpointing) {
    return train.stream().mapToLong(batch -> step(batch, checkpointing).onHost()).max().orElse(0);
  }

  private static long buffers(StepMemory.Result step) {
    return step.atPeak().getOrDefault(MemoryPart.WORKSPACE, 0L);
  }

  private Map<Component, Long> evaluation(StepMemory.Result step) {
    Map<Component, Long> held = trainer();
    evaluate.ifPresent(
        batch -> {
          int loss = Math.max(1, batch.lossTokens());
          StepMemory.Result pass = StepMemory.evaluation(model, extent.apply(batch), loss);
          add(held, pass);
          withHoles(held, pass);
        });
    // training has left its buffers
    held.merge(Component.WORKSPACE, buffers(step), Math::max);
    held.put(Component.GENERATION, generation);
    return held;
  }

  private static void add(Map<Component, Long> held, StepMemory.Result step) {
    step.atPeak()
        .forEach(
            (part, bytes) ->
                held.put(
                    switch (part) {
                      case ACTIVATIONS -> Component.ACTIVATIONS;
                      case WORKING -> Component.WORKING;
                      case LOSS -> Component.LOSS;
                      case WORKSPACE -> Component.WORKSPACE;
                    },
                    bytes));
  }

  private Map<Component, Long> loaded() {
    Map<Component, Long> held = new EnumMap<>(Component.class);
    held.put(Component.WEIGHTS_4BIT, weights.of(WeightSizes.Form.CODES_4BIT));
    held.put(Component.ABSMAX, weights.of(WeightSizes.Form.ABSMAX));
    held.put(Component.WEIGHTS_8BIT, weights.of(WeightSizes.Form.CODES_8BIT));
    held.put(Component.WEIGHTS_DENSE, weights.of(WeightSizes.Form.DENSE));
    held.put(Component.FROZEN_ADAPTER, weights.of(WeightSizes.Form.FROZEN_ADAPTER));
    held.put(Component.TRAINED, DType.FLOAT32.bytes() * parameters);
    // values and gradients lie in one set, which is made with the layers
    held.put(Component.GRADIENTS, DType.FLOAT32.bytes() * parameters);
    return held;
  }

  /** What is held through all of training: the tree of gradients and the optimizer beside. */
  private Map<Component, Long> trainer() {
    Map<Component, Long> held = loaded();
    long flat = DType.FLOAT32.bytes() * parameters;
    held.put(Component.GRADIENTS, flat * (1 + GradientTree.buffersFor(accumulation)));
    held.put(Component.OPTIMIZER, optimizer);
    return held;
  }

  /** What lies free between a pass's buffers. */
  private Map<Component, Long> withHoles(Map<Component, Long> held, StepMemory.Result pass) {
    long passing = pass.peak() - buffers(pass);
    double holes = host.slack() * passing + host.layers() * pass.layer();
    held.put(Component.HEAP, Math.round(holes));
    return held;
  }

  private Map<Component, Long> withProcess(Map<Component, Long> held) {
    held.put(Component.ROWS, rows);
    held.put(Component.PROCESS, Math.max(0, host.process() - rows));
    held.values().removeIf(bytes -> bytes == 0);
    return held;
  }
}
