package ai.nibble.datasets;

/**
 * A value and how a sentence says it.
 *
 * @param said in a sentence, for example {@code on Monday}
 * @param plain on its own, for example {@code Monday}
 */
record Value(String said, String plain) {
  Value(String text) {
    this(text, text);
  }
}
