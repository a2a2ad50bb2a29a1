package ai.nibble.model;

import ai.nibble.nn.ParameterSet;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/** What a run trains and writes: adapters on a model, or all of its weights. */
public interface Trainable extends AutoCloseable {
  /** The trained values and their gradients, in the flat buffers that the optimizer works on. */
  ParameterSet parameters();

  /**
   * Names of tensors that no gradient reached although one should have, right after a backward
   * pass: they would never learn. Empty if all is well.
   */
  List<String> withoutGradient();

  /**
   * Writes the trained values as others read them.
   *
   * @param directory made if missing
   * @param baseModel the base's directory or GGUF file: an adapter names it, a whole model takes
   *     its configuration and tokenizer from it
   * @throws ai.nibble.InvalidInputException if what was trained is not worth saving
   */
  void save(Path directory, String baseModel) throws IOException;

  /**
   * As {@link #save}, on the way: what has learned nothing yet is written, too.
   *
   * @throws ai.nibble.InvalidInputException if a value is not finite
   */
  default void saveUnfinished(Path directory, String baseModel) throws IOException {
    save(directory, baseModel);
  }

  /**
   * The Frobenius norm of what is added to each module's weight, by its path in the model's order;
   * empty where nothing is added but the weights themselves are trained.
   */
  default Map<String, Double> updateNorms() {
    return Map.of();
  }

  @Override
  void close();
}
