package ai.nibble.data.jinja;

/**
 * A template variable whose strings carry an origin into the rendered text.
 *
 * @param origin above 0; 0 is the template itself and every untraced variable
 * @param value map, list, string, number, boolean or null; an inner {@code Traced} overrides
 */
public record Traced(int origin, Object value) {
  public Traced {
    if (origin <= 0) {
      throw new IllegalArgumentException("origin is " + origin + ", expected above 0");
    }
  }
}
