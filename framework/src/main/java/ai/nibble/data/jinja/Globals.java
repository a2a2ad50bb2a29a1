package ai.nibble.data.jinja;

import java.time.LocalDateTime;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The functions every template sees. */
final class Globals {
  private static final Map<String, Callable> BY_NAME =
      Map.of(
          "range", Globals::range,
          "dict", Globals::dict,
          "namespace", Namespace::create,
          "joiner", Globals::joiner,
          "cycler", Globals::cycler,
          "raise_exception", Globals::raise,
          "strftime_now", Globals::strftimeNow);

  private Globals() {}

  static void define(Scope scope) {
    BY_NAME.forEach(scope::set);
  }

  private static Object range(Arguments arguments, Budget budget) {
    List<Object> bounds = arguments.positional();
    if (bounds.isEmpty() || bounds.size() > 3 || !arguments.named().isEmpty()) {
      throw new TemplateError("range expected 1 to 3 arguments, got " + bounds.size());
    }
    boolean stopOnly = bounds.size() == 1;
    long start = stopOnly ? 0 : Values.toLong(bounds.get(0), "range's start");
    long stop = Values.toLong(bounds.get(stopOnly ? 0 : 1), "range's stop");
    long step = bounds.size() == 3 ? Values.toLong(bounds.get(2), "range's step") : 1;
    return Range.of(start, stop, step);
  }

  static Object dict(Arguments arguments, Budget budget) {
    if (arguments.positional().size() > 1) {
      throw new TemplateError("dict expected at most 1 argument");
    }
    Map<Object, Object> dict = new LinkedHashMap<>();
    for (Object source : arguments.positional()) {
      if (Values.isDict(source)) {
        dict.putAll(Values.dict(source));
        continue;
      }
      for (Iterator<Object> pairs = Sequences.iterate(source, budget); pairs.hasNext(); ) {
        List<Object> pair = Sequences.toList(pairs.next(), budget);
        if (pair.size() != 2) {
          throw new TemplateError("dict() needs pairs, got " + pair.size() + " values");
        }
        dict.put(Sequences.key(pair.get(0)), pair.get(1));
      }
    }
    arguments.named().forEach((name, value) -> dict.put(Str.of(name), value));
    return budget.made(dict);
  }

  private static Object joiner(Arguments arguments, Budget budget) {
    Object separator = Arguments.or(arguments.bind("joiner", 0, "sep")[0], Str.of(", "));
    boolean[] used = new boolean[1];
    Callable next =
        (a, b) -> {
          Object result = used[0] ? separator : Str.EMPTY;
          used[0] = true;
          return result;
        };
    return next;
  }

  private static Object cycler(Arguments arguments, Budget budget) {
    List<Object> items = arguments.positional();
    if (items.isEmpty()) {
      throw new TemplateError("at least one item has to be provided");
    }
    int[] at = new int[1];
    Callable next = (a, b) -> items.get(at[0]++ % items.size());
    Callable reset =
        (a, b) -> {
          at[0] = 0;
          return null;
        };
    return (Attributes.Owner)
        name ->
            switch (name) {
              case "next" -> next;
              case "reset" -> reset;
              case "current" -> items.get(at[0] % items.size());
              default -> new Undefined("'Cycler' object has no attribute '" + name + "'");
            };
  }

  private static Object raise(Arguments arguments, Budget budget) {
    Object message = arguments.bind("raise_exception", 1, "message")[0];
    throw new TemplateError(Printing.str(message, budget).text());
  }

  private static Object strftimeNow(Arguments arguments, Budget budget) {
    Object format = arguments.bind("strftime_now", 1, "format")[0];
    return Str.of(Strftime.format(LocalDateTime.now(), Values.toStr(format, "the format").text()));
  }
}
