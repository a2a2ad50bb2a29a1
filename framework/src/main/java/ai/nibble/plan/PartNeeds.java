package ai.nibble.plan;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LayerShape;
import ai.nibble.model.Placement;
import ai.nibble.model.StepMemory;
import ai.nibble.model.StepMemory.Kind;
import ai.nibble.model.StepMemory.Pass;
import ai.nibble.model.WeightSizes;
import ai.nibble.optim.GradientTree;
import ai.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** What each part of a model needs in a run, on one kind of device. */
public final class PartNeeds {
  private final PlannedRun run;
  private final PartSizes sizes;
  private final List<Pass> passes = new ArrayList<>();

  private PartNeeds(PlannedRun run, PartSizes sizes, Checkpointing checkpointing) {
    this.run = run;
    this.sizes = sizes;
    passes.add(
        new Pass(
            run.model(),
            run.extent().apply(run.train()),
            Math.max(1, run.train().lossTokens()),
            checkpointing,
            run.onAnswers() ? Kind.TRAINING_ON_ANSWERS : Kind.TRAINING));
    run.evaluate()
        .ifPresent(
            batch ->
                passes.add(
                    new Pass(
                        run.model(),
                        run.extent().apply(batch),
                        Math.max(1, batch.lossTokens()),
                        Checkpointing.NONE,
                        Kind.EVALUATION)));
  }

  /**
   * The parts' needs, in the order in which they are computed.
   *
   * @param run as it would be with all of the model on such a device
   */
  public static List<PartNeed> of(PlannedRun run, PartSizes sizes, Checkpointing checkpointing) {
    return new PartNeeds(run, sizes, checkpointing).all();
  }

  private List<PartNeed> all() {
    List<PartNeed> needs = new ArrayList<>();
    needs.add(need(CausalLm.EMBEDDING, StepMemory::ofEmbedding, 0));
    Map<LayerShape, List<StepMemory.Part>> known = new HashMap<>();
    for (int i = 0; i < run.model().layers().size(); i++) {
      LayerShape shape = run.model().layers().get(i);
      List<StepMemory.Part> parts =
          known.computeIfAbsent(
              shape, s -> passParts(pass -> StepMemory.ofLayer(pass, s), sizes.cachedInLayer()));
      needs.add(need(Placement.layer(i), parts));
    }
    needs.add(need(CausalLm.HEAD, StepMemory::ofLoss, 0));
    return needs;
  }

  private PartNeed need(String part, Function<Pass, StepMemory.Part> of, long cached) {
    return need(part, passParts(of, cached));
  }

  /** Of training, evaluation, and answers written on the way, which keep keys and values. */
  private List<StepMemory.Part> passParts(Function<Pass, StepMemory.Part> of, long cached) {
    List<StepMemory.Part> parts = new ArrayList<>(passes.stream().map(of).toList());
    parts.add(new StepMemory.Part(cached, 0, 0, Map.of()));
    return parts;
  }

  private PartNeed need(String part, List<StepMemory.Part> parts) {
    WeightSizes weights = sizes.weights(part);
    long flat = DType.FLOAT32.bytes() * sizes.values(part);
    Map<Component, Long> held = new EnumMap<>(Component.class);
    held.put(Component.WEIGHTS_4BIT, weights.of(WeightSizes.Form.CODES_4BIT));
    held.put(Component.ABSMAX, weights.of(WeightSizes.Form.ABSMAX));
    held.put(Component.WEIGHTS_8BIT, weights.of(WeightSizes.Form.CODES_8BIT));
    held.put(Component.WEIGHTS_DENSE, weights.of(WeightSizes.Form.DENSE));
    held.put(Component.TRAINED, flat);
    held.put(Component.GRADIENTS, flat * (1 + GradientTree.buffersFor(run.accumulation())));
    held.put(Component.OPTIMIZER, Math.round(sizes.optimizer() * sizes.values(part)));
    return new PartNeed(PartSizes.modules(part), held, parts);
  }
}
