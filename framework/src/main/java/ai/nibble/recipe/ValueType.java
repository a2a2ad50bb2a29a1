package ai.nibble.recipe;

/** How one type of value is read from a recipe, described, and written to the resolved recipe. */
interface ValueType {
  /** The value, or null once its problem has been reported. */
  Object read(Node node, Reading at);

  /**
   * The value as YAML: a {@code Map} or {@code List} of these, or a {@code String} that is one
   * scalar, already quoted where it needs to be.
   */
  Object write(Object value);

  /** What fits, in words: {@code a whole number >= 1}. */
  String expected();
}
