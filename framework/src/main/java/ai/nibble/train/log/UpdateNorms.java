package ai.nibble.train.log;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * How far adapters have moved a model.
 *
 * @param step optimizer steps done
 * @param byModule the Frobenius norm of {@code scaling · B·A} by the module's path, in the model's
 *     order
 */
public record UpdateNorms(int step, Map<String, Double> byModule) {
  /** Copies the map, keeping its order. */
  public UpdateNorms {
    byModule = Collections.unmodifiableMap(new LinkedHashMap<>(byModule));
  }
}
