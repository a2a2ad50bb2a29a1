package ai.nibble.data.jinja;

/** A test: {@code value is name(arguments)}. */
@FunctionalInterface
interface ValueTest {
  boolean passes(Object value, Arguments arguments, Budget budget);
}
