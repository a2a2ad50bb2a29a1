package ai.nibble.nn;

import java.util.Optional;

/** A module with a frozen weight that may carry a trained low-rank update. */
public interface Adaptable {
  /** The module's path in the Hugging Face model, {@code model.layers.0.self_attn.q_proj}. */
  String path();

  /** The frozen weight. */
  Weight weight();

  /** Columns of A: what the module reads. Of an embedding the vocabulary. */
  long inFeatures();

  /** Rows of B: what the module gives. */
  long outFeatures();

  Optional<LowRank> adapter();

  /**
   * Puts a low-rank update on this module, or takes it off with null.
   *
   * @throws IllegalArgumentException if it is of another shape or kind than the module takes
   */
  void attach(LowRank update);

  /**
   * Checks an update's shape.
   *
   * @throws IllegalArgumentException if it is another than this module's
   */
  default void requireFits(LowRank update) {
    long in = update.a().value().size(1);
    long out = update.b().value().size(0);
    if (in != inFeatures() || out != outFeatures()) {
      throw new IllegalArgumentException(
          path()
              + ": an adapter of ["
              + out
              + ", "
              + in
              + "] on a module of ["
              + outFeatures()
              + ", "
              + inFeatures()
              + "]");
    }
  }
}
