package ai.nibble.optim;

import java.nio.FloatBuffer;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * An optimizer's memory.
 *
 * @param step updates done so far, at least 0
 * @param buffers float32 {@code [elements]} by name, in the order to store them, in the layout of
 *     the flat parameter buffer
 */
public record OptimizerState(long step, Map<String, FloatBuffer> buffers) {
  public OptimizerState {
    if (step < 0) {
      throw new IllegalArgumentException("optimizer step is " + step + ", expected at least 0");
    }
    buffers = Collections.unmodifiableMap(new LinkedHashMap<>(buffers));
  }
}
