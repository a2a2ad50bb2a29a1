package ai.nibble.plan;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LayerShape;
import ai.nibble.model.ModelShape;
import ai.nibble.model.Placement;
import ai.nibble.model.StepMemory;
import ai.nibble.model.StepMemory.Kind;
import ai.nibble.model.StepMemory.Pass;
import ai.nibble.model.WeightSizes;
import ai.nibble.nn.Extent;
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
  private final ModelShape model;
  private final PartSizes sizes;
  private final List<Pass> passes;
  private final int gradientBuffers;
  private final KeptLayers dequantized;

  /**
   * @param gradientBuffers flat buffers of gradients
   */
  private PartNeeds(
      ModelShape model,
      PartSizes sizes,
      List<Pass> passes,
      int gradientBuffers,
      KeptLayers dequantized) {
    this.model = model;
    this.sizes = sizes;
    this.passes = passes;
    this.gradientBuffers = gradientBuffers;
    this.dequantized = dequantized;
  }

  private static List<Pass> passes(PlannedRun run, Checkpointing checkpointing) {
    List<Pass> passes = new ArrayList<>();
    Kind training = run.onAnswers() ? Kind.TRAINING_ON_ANSWERS : Kind.TRAINING;
    // which needs the most may differ by device
    run.train().forEach(batch -> passes.add(pass(run, batch, checkpointing, training)));
    run.evaluate().ifPresent(b -> passes.add(pass(run, b, Checkpointing.NONE, Kind.EVALUATION)));
    return passes;
  }

  private static Pass pass(PlannedRun run, MicroBatch batch, Checkpointing mode, Kind kind) {
    int loss = Math.max(1, batch.lossTokens());
    return new Pass(run.model(), run.extent().apply(batch), loss, mode, kind);
  }

  /**
   * The parts' needs, in the order in which they are computed.
   *
   * @param run as it would be with all of the model on such a device
   * @param dequantized layers that keep their weights so, on such a device
   */
  public static List<PartNeed> of(
      PlannedRun run, PartSizes sizes, Checkpointing checkpointing, KeptLayers dequantized) {
    int buffers = 1 + GradientTree.buffersFor(run.accumulation());
    return new PartNeeds(run.model(), sizes, passes(run, checkpointing), buffers, dequantized)
        .all();
  }

  /** The parts' needs where nothing is trained and passes only go forward. */
  static List<PartNeed> forward(ModelShape model, PartSizes sizes, Extent extent) {
    Pass pass = new Pass(model, extent, extent.tokens(), Checkpointing.NONE, Kind.EVALUATION);
    return new PartNeeds(model, sizes, List.of(pass), 0, KeptLayers.NONE).all();
  }

  private List<PartNeed> all() {
    List<PartNeed> needs = new ArrayList<>();
    needs.add(need(CausalLm.EMBEDDING, StepMemory::ofEmbedding, 0));
    Map<LayerShape, List<StepMemory.Part>> known = new HashMap<>();
    for (int i = 0; i < model.layers().size(); i++) {
      LayerShape shape = model.layers().get(i);
      List<StepMemory.Part> parts =
          known.computeIfAbsent(
              shape, s -> passParts(pass -> StepMemory.ofLayer(pass, s), sizes.cachedInLayer()));
      needs.add(need(Placement.layer(i), parts, dequantized.bytes().getOrDefault(i, 0L)));
    }
    needs.add(need(CausalLm.HEAD, StepMemory::ofLoss, 0));
    return needs;
  }

  private PartNeed need(String part, Function<Pass, StepMemory.Part> of, long cached) {
    return need(part, passParts(of, cached), 0);
  }

  /** Of training, evaluation, and answers written on the way, which keep keys and values. */
  private List<StepMemory.Part> passParts(Function<Pass, StepMemory.Part> of, long cached) {
    List<StepMemory.Part> parts = new ArrayList<>(passes.stream().map(of).toList());
    parts.add(new StepMemory.Part(cached, 0, 0, Map.of()));
    return parts;
  }

  private PartNeed need(String part, List<StepMemory.Part> parts, long kept) {
    WeightSizes weights = sizes.weights(part);
    long flat = DType.FLOAT32.bytes() * sizes.values(part);
    Map<Component, Long> held = new EnumMap<>(Component.class);
    held.put(Component.WEIGHTS_4BIT, weights.of(WeightSizes.Form.CODES_4BIT));
    held.put(Component.ABSMAX, weights.of(WeightSizes.Form.ABSMAX));
    held.put(Component.WEIGHTS_8BIT, weights.of(WeightSizes.Form.CODES_8BIT));
    held.put(Component.WEIGHTS_DENSE, weights.of(WeightSizes.Form.DENSE));
    held.put(Component.FROZEN_ADAPTER, weights.of(WeightSizes.Form.FROZEN_ADAPTER));
    held.put(Component.KEPT_WEIGHTS, kept);
    held.put(Component.TRAINED, flat);
    held.put(Component.GRADIENTS, flat * gradientBuffers);
    held.put(Component.OPTIMIZER, Math.round(sizes.optimizer() * sizes.values(part)));
    return new PartNeed(PartSizes.modules(part), held, parts);
  }
}
