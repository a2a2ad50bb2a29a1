package ai.nibble.recipe;

import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Placement;
import ai.nibble.model.Trainable;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Torch;
import ai.nibble.train.Replica;
import ai.nibble.train.Workers;
import ai.nibble.train.objective.Objective;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/** What a recipe's workers compute with: the model, and a copy of it for each further device. */
final class Replicas implements AutoCloseable {
  private final Scope scope = new Scope();
  private final List<Replica> replicas = new ArrayList<>();

  private Replicas() {}

  /**
   * Readies the process; to be called before anything is computed.
   *
   * @param placements of all workers' models
   */
  static void expect(List<Placement> placements) {
    if (placements.size() > 1 && !placements.get(0).first().isCpu()) {
      Torch.expectSeveralThreads();
    }
  }

  /**
   * Loads what further devices need.
   *
   * @param placements of all workers' models, the first one's first
   * @param model of the first worker, which stays the caller's, as what is trained on it
   * @param load the base once more, on a device
   * @param objective on what is trained
   */
  static Replicas load(
      List<Placement> placements,
      CausalLm model,
      Trainable trained,
      Function<Placement, CausalLm> load,
      Function<Trainable, Objective> objective) {
    Replicas replicas = new Replicas();
    try {
      replicas.replicas.add(new Replica(model, trained, objective.apply(trained)));
      for (Placement placement : placements.subList(1, placements.size())) {
        CausalLm other = replicas.scope.own(load.apply(placement));
        Trainable copy = replicas.scope.own(copy(trained, other));
        replicas.replicas.add(new Replica(other, copy, objective.apply(copy)));
      }
      return replicas;
    } catch (RuntimeException e) {
      replicas.close();
      throw e;
    }
  }

  private static Trainable copy(Trainable trained, CausalLm other) {
    return trained instanceof LoraAdapter adapter
        ? adapter.copyTo(other)
        : new AllWeights(other); // its values come from the first worker
  }

  /** Has all workers' models keep layers' weights: see {@link CausalLm#keepDequantized}. */
  void keepDequantized(List<Integer> layers) {
    replicas.forEach(replica -> replica.model().keepDequantized(layers));
  }

  /** The workers, the caller's to close before this. */
  Workers workers() {
    return Workers.of(replicas);
  }

  @Override
  public void close() {
    scope.close();
  }
}
