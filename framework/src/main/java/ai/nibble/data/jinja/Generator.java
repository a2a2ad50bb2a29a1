package ai.nibble.data.jinja;

import java.util.Iterator;

/**
 * What lazy filters give: read once, without a length, and no JSON.
 *
 * @param depth how many lazy filters feed one another, as each takes room on the stack
 */
record Generator(Iterator<Object> items, int depth) {
  Generator(Iterator<Object> items) {
    this(items, 0);
  }

  /** A lazy filter over the source. */
  static Generator over(Object source, Iterator<Object> items) {
    int depth = source instanceof Generator inner ? inner.depth() + 1 : 0;
    if (depth > Budget.MAX_DEPTH) {
      throw new TemplateError("more than " + Budget.MAX_DEPTH + " lazy filters in a row");
    }
    return new Generator(items, depth);
  }
}
