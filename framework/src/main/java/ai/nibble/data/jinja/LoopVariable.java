package ai.nibble.data.jinja;

import java.util.List;

/** The {@code loop} of a running loop. */
final class LoopVariable implements Attributes.Owner, Callable {
  private final List<Object> items;
  private final int level;
  private final Callable again;
  private int index0 = -1;
  private Arguments lastChanged;

  /**
   * @param level 0 for the outermost of a recursive loop
   * @param again runs the loop on other items, or null where it is not recursive
   */
  LoopVariable(List<Object> items, int level, Callable again) {
    this.items = items;
    this.level = level;
    this.again = again;
  }

  void advance() {
    index0++;
  }

  @Override
  public Object call(Arguments arguments, Budget budget) {
    if (again == null) {
      throw new TemplateError("the loop must have the 'recursive' marker to be called recursively");
    }
    return again.call(arguments, budget);
  }

  @Override
  public Object attribute(String name) {
    long size = items.size();
    Callable method =
        switch (name) {
          case "cycle" -> this::cycle;
          case "changed" -> this::changed;
          default -> null;
        };
    if (method != null) {
      return method;
    }
    return switch (name) {
      case "index" -> index0 + 1L;
      case "index0" -> (long) index0;
      case "revindex" -> size - index0;
      case "revindex0" -> size - index0 - 1;
      case "first" -> index0 == 0;
      case "last" -> index0 == size - 1;
      case "length" -> size;
      case "depth" -> level + 1L;
      case "depth0" -> (long) level;
      case "previtem" ->
          index0 > 0 ? items.get(index0 - 1) : new Undefined("there is no previous item");
      case "nextitem" ->
          index0 + 1 < size ? items.get(index0 + 1) : new Undefined("there is no next item");
      default -> Undefined.attribute(this, Str.of(name));
    };
  }

  private Object cycle(Arguments arguments, Budget budget) {
    if (arguments.positional().isEmpty()) {
      throw new TemplateError("no items for cycling given");
    }
    return arguments.positional().get(index0 % arguments.positional().size());
  }

  private Object changed(Arguments arguments, Budget budget) {
    boolean same =
        lastChanged != null
            && Comparison.equal(
                Seq.list(lastChanged.positional()), Seq.list(arguments.positional()), budget);
    lastChanged = arguments;
    return !same;
  }
}
