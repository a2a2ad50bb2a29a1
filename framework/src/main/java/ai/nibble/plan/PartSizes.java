package ai.nibble.plan;

import ai.nibble.model.CausalLm;
import ai.nibble.model.Placement;
import ai.nibble.model.WeightSizes;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Sizes of a model by its parts, of which {@link #part} says the names.
 *
 * @param weights as they are held; none where all of them are trained
 * @param values trained ones
 * @param optimizer bytes that the optimizer remembers of a value
 * @param cachedInLayer bytes of keys and values of the answers written on the way
 */
public record PartSizes(
    Map<String, WeightSizes> weights,
    Map<String, Long> values,
    double optimizer,
    long cachedInLayer) {
  private static final Pattern LAYER = Pattern.compile("(model\\.layers\\.\\d+)(?:\\..*)?");

  public PartSizes {
    weights = Map.copyOf(weights);
    values = Map.copyOf(values);
  }

  /** The part that a module or a tensor is of, by its path or name. */
  public static String part(String name) {
    Matcher layer = LAYER.matcher(name);
    if (layer.matches()) {
      return layer.group(1);
    }
    return Placement.covers(CausalLm.EMBEDDING, name) ? CausalLm.EMBEDDING : CausalLm.HEAD;
  }

  /** The modules of a part. */
  static List<String> modules(String part) {
    return part.equals(CausalLm.HEAD) ? List.of(CausalLm.NORM, CausalLm.HEAD) : List.of(part);
  }

  long values(String part) {
    return values.getOrDefault(part, 0L);
  }

  WeightSizes weights(String part) {
    return weights.getOrDefault(part, new WeightSizes(Map.of(), 0));
  }
}
