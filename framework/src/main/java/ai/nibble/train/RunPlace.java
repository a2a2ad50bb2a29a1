package ai.nibble.train;

import java.nio.file.Path;
import java.util.Map;

/**
 * Where a run writes and what identifies it.
 *
 * @param output what was trained goes there, and checkpoints beside it
 * @param baseModel the base that an adapter names, or that a whole model's files are from
 * @param recipe the resolved recipe, for those who log it
 * @param identity what a run that goes on from one of the checkpoints must have in common with this
 *     one, by name
 */
public record RunPlace(Path output, String baseModel, String recipe, Map<String, String> identity) {
  public RunPlace {
    identity = Map.copyOf(identity);
  }

  /** The run's name: a single path segment. */
  String name() {
    return output.getFileName() == null ? "run" : output.getFileName().toString();
  }
}
