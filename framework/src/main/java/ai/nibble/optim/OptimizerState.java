package ai.nibble.optim;

import ai.nibble.InvalidInputException;
import java.nio.FloatBuffer;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * An optimizer's memory.
 *
 * @param step updates done so far, at least 0
 * @param buffers float32 {@code [elements]} by name, in the order to store them, in the layout of
 *     the flat parameter buffer
 * @param vectors float32 vectors of other lengths by name, {@code KIND/PARAMETER}, in the order to
 *     store them
 */
public record OptimizerState(
    long step, Map<String, FloatBuffer> buffers, Map<String, FloatBuffer> vectors) {
  public OptimizerState {
    if (step < 0) {
      throw new IllegalArgumentException("optimizer step is " + step + ", expected at least 0");
    }
    buffers = Collections.unmodifiableMap(new LinkedHashMap<>(buffers));
    vectors = Collections.unmodifiableMap(new LinkedHashMap<>(vectors));
  }

  /** Of an optimizer whose memory is all in the layout of the parameters. */
  public OptimizerState(long step, Map<String, FloatBuffer> buffers) {
    this(step, buffers, Map.of());
  }

  /**
   * Refuses a state that has not all that this one has, of the same lengths.
   *
   * @throws InvalidInputException naming every buffer that is missing or of another length
   */
  void requireSame(OptimizerState saved) {
    List<String> problems = new ArrayList<>();
    require(buffers, saved.buffers, problems);
    require(vectors, saved.vectors, problems);
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  private static void require(
      Map<String, FloatBuffer> own, Map<String, FloatBuffer> saved, List<String> problems) {
    own.forEach(
        (name, buffer) -> {
          FloatBuffer other = saved.get(name);
          if (other == null) {
            problems.add(
                "saved optimizer state has "
                    + new TreeSet<>(saved.keySet())
                    + ", expected '"
                    + name
                    + "' as well: resume with the optimizer that saved it");
          } else if (other.limit() != buffer.limit()) {
            problems.add(
                "saved optimizer state '"
                    + name
                    + "' holds "
                    + other.limit()
                    + " values, expected "
                    + buffer.limit()
                    + ": resume with the adapter settings that saved it");
          }
        });
  }
}
