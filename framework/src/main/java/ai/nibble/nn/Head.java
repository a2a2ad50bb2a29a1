package ai.nibble.nn;

import java.util.List;
import java.util.Optional;

/**
 * The output head as losses and logits take it: a weight {@code [vocabulary, hidden]} that is
 * frozen, trained, or frozen with some rows trained or with a low-rank update beside it.
 *
 * @param adapter {@code logits += s·B(A(d(x)))}; empty without
 * @param pass that says whether and what the adapter's dropout drops
 */
public record Head(Weight weight, Optional<LowRank> adapter, Pass pass) {
  /** A layer's number for dropout's key, which nothing else has. */
  private static final int LAYER = -3;

  /** A head without an adapter. */
  public static Head of(Weight weight) {
    return new Head(weight, Optional.empty(), Pass.evaluating(0, 1));
  }

  /** All that backward adds gradients to: nothing of a frozen head. */
  List<Parameter> parameters() {
    if (weight.parameter().isPresent()) {
      return List.of(weight.parameter().get());
    }
    if (adapter.isPresent()) {
      return List.of(adapter.get().a(), adapter.get().b());
    }
    return trainedRows().map(rows -> List.of(rows.values())).orElse(List.of());
  }

  boolean isTrained() {
    return !parameters().isEmpty();
  }

  /** The rows that are trained by themselves. */
  Optional<TrainedRows> trainedRows() {
    return weight instanceof DenseWeight dense ? dense.trainedRows() : Optional.empty();
  }

  boolean drops() {
    return pass.training() && adapter.isPresent() && adapter.get().dropout() > 0;
  }

  long dropoutKey() {
    return Dropout.key(pass.dropoutKey(), LAYER);
  }
}
