package ai.nibble.recipe;

import java.util.List;
import java.util.Optional;

/**
 * How many decoder layers keep their weights dequantised ({@code keep_dequantized_layers}).
 *
 * @param layers from the first on; the largest {@code int} for all of them, empty for as many as a
 *     GPU has room for
 */
public record KeptDequantized(Optional<Integer> layers) {
  /** As many as a GPU has room for. */
  public static final KeptDequantized AUTO = new KeptDequantized(Optional.empty());

  /** All layers. */
  public static final KeptDequantized ALL = of(Integer.MAX_VALUE);

  /** The first so many. */
  public static KeptDequantized of(int layers) {
    return new KeptDequantized(Optional.of(layers));
  }

  /** Whether memory decides. */
  public boolean isAuto() {
    return layers.isEmpty();
  }

  /**
   * Layers that are asked for whatever memory there is.
   *
   * @param all of the model
   */
  int asked(int all) {
    return Math.min(all, layers.orElse(0));
  }

  @Override
  public String toString() {
    return isAuto() ? "auto" : equals(ALL) ? "all" : layers.get().toString();
  }

  /** Reads a number or one of two words. */
  record Type() implements ValueType {
    private static final List<String> WORDS = List.of("auto", "all");
    private static final ValueType COUNT =
        new ScalarTypes.Whole(Range.parse("[0, 100000]"), new int[0], false);

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar && WORDS.contains(scalar.text())) {
        return scalar.text().equals("all") ? ALL : AUTO;
      }
      if (!(node instanceof Node.Scalar scalar) || !scalar.kind().isNumber()) {
        at.reject(node, expected());
        return null;
      }
      Object count = COUNT.read(node, at);
      return count == null ? null : of((Integer) count);
    }

    @Override
    public Object write(Object value) {
      return value.toString();
    }

    @Override
    public String expected() {
      return "auto, all or a number of layers";
    }
  }
}
