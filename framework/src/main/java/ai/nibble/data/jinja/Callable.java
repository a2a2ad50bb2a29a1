package ai.nibble.data.jinja;

/** A function, macro or bound method. */
@FunctionalInterface
interface Callable {
  Object call(Arguments arguments, Budget budget);
}
