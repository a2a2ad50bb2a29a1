package ai.nibble.data.jinja;

import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.function.Function;
import java.util.function.Predicate;

/** {@code map}, {@code select}, {@code reject} and their forms on attributes: read on demand. */
final class LazyFilters {
  private LazyFilters() {}

  static Object map(Object value, Arguments arguments, Budget budget) {
    if (!Values.truth(value)) {
      return new Generator(java.util.Collections.emptyIterator());
    }
    Function<Object, Object> mapping = mapping(arguments, budget);
    Iterator<Object> items = Sequences.iterate(value, budget);
    return Generator.over(
        value,
        new Iterator<>() {
          @Override
          public boolean hasNext() {
            return items.hasNext();
          }

          @Override
          public Object next() {
            budget.step();
            return mapping.apply(items.next());
          }
        });
  }

  private static Function<Object, Object> mapping(Arguments arguments, Budget budget) {
    if (arguments.positional().isEmpty() && arguments.named().containsKey("attribute")) {
      Object[] bound = arguments.bind("map", 0, "attribute", "default");
      return item -> {
        Object found = SequenceFilters.path(item, bound[0], budget);
        return found instanceof Undefined ? Arguments.or(bound[1], found) : found;
      };
    }
    if (arguments.positional().isEmpty()) {
      throw new TemplateError("map requires a filter argument");
    }
    String name = Values.toStr(arguments.positional().get(0), "map's filter").text();
    Filter filter = Filters.named(name);
    if (filter == null) {
      throw new TemplateError("No filter named '" + name + "'.");
    }
    Arguments rest = arguments.from(1);
    return item -> budget.made(filter.apply(item, rest, budget));
  }

  /**
   * @param keep whether to keep the items that pass the test, or the others
   * @param onAttribute whether the first argument names an attribute to test
   */
  static Object select(
      Object value, Arguments arguments, Budget budget, boolean keep, boolean onAttribute) {
    if (!Values.truth(value)) {
      return new Generator(java.util.Collections.emptyIterator());
    }
    if (onAttribute && arguments.positional().isEmpty()) {
      throw new TemplateError("Missing parameter for attribute name");
    }
    Object attribute = onAttribute ? arguments.positional().get(0) : null;
    Arguments rest = arguments.from(onAttribute ? 1 : 0);
    Predicate<Object> passes = test(rest, budget);
    Iterator<Object> items = Sequences.iterate(value, budget);
    return Generator.over(
        value,
        new Selection(
            items,
            item -> {
              budget.step();
              Object tested = onAttribute ? SequenceFilters.path(item, attribute, budget) : item;
              return passes.test(tested) == keep;
            }));
  }

  private static Predicate<Object> test(Arguments arguments, Budget budget) {
    if (arguments.positional().isEmpty()) {
      return Values::truth;
    }
    String name = Printing.str(arguments.positional().get(0), budget).text();
    ValueTest test = Tests.named(name);
    if (test == null) {
      throw new TemplateError("No test named '" + name + "'.");
    }
    Arguments rest = arguments.from(1);
    return item -> test.passes(item, rest, budget);
  }

  private static final class Selection implements Iterator<Object> {
    private final Iterator<Object> items;
    private final Predicate<Object> wanted;
    private Object next;
    private boolean ready;

    Selection(Iterator<Object> items, Predicate<Object> wanted) {
      this.items = items;
      this.wanted = wanted;
    }

    @Override
    public boolean hasNext() {
      while (!ready && items.hasNext()) {
        next = items.next();
        ready = wanted.test(next);
      }
      return ready;
    }

    @Override
    public Object next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      ready = false;
      return next;
    }
  }
}
