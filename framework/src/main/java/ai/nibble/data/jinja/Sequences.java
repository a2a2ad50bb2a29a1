package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.List;
import java.util.Map;

/** Iterating, counting, indexing and slicing, as Python does. */
final class Sequences {
  private Sequences() {}

  static Iterator<Object> iterate(Object value, Budget budget) {
    if (value instanceof Seq seq) {
      return seq.items().iterator();
    }
    if (value instanceof Generator generator) {
      return generator.items();
    }
    if (value instanceof Map) {
      return Collections.unmodifiableSet(Values.dict(value).keySet()).iterator();
    }
    if (value instanceof Str str) {
      return characters(str, budget).iterator();
    }
    if (value instanceof Undefined) {
      return Collections.emptyIterator();
    }
    throw new TemplateError("'" + Values.typeName(value) + "' object is not iterable");
  }

  static boolean isIterable(Object value) {
    return value instanceof Seq
        || value instanceof Generator
        || value instanceof Map
        || value instanceof Str
        || value instanceof Undefined;
  }

  /** A list of its own. */
  static List<Object> toList(Object value, Budget budget) {
    if (value instanceof Seq seq) {
      return budget.made(Seq.list(new ArrayList<>(seq.items()))).items();
    }
    List<Object> list = new ArrayList<>();
    for (Iterator<Object> items = iterate(value, budget); items.hasNext(); ) {
      Budget.checkList(list.size() + 1L);
      budget.work(8);
      list.add(items.next());
    }
    return budget.made(Seq.list(list)).items();
  }

  private static List<Object> characters(Str str, Budget budget) {
    Budget.checkList(str.length());
    List<Object> list = new ArrayList<>(str.length());
    int i = 0;
    while (i < str.length()) {
      int next = str.text().offsetByCodePoints(i, 1);
      list.add(str.slice(i, next));
      i = next;
    }
    return budget.made(Seq.list(list)).items();
  }

  static long length(Object value) {
    if (value instanceof Str str) {
      return str.codePoints();
    }
    if (value instanceof Seq seq) {
      return seq.items().size();
    }
    if (value instanceof Map<?, ?> map) {
      return map.size();
    }
    if (value instanceof Undefined) {
      return 0;
    }
    throw new TemplateError("object of type '" + Values.typeName(value) + "' has no len()");
  }

  /** A value that may key a dict: a scalar, or a tuple of them. */
  static Object key(Object value) {
    boolean flatTuple =
        value instanceof Seq seq
            && seq.isTuple()
            && seq.items().stream().noneMatch(i -> i instanceof Seq || i instanceof Map);
    if ((value instanceof Seq && !flatTuple) || value instanceof Map) {
      throw new TemplateError("unhashable type: '" + Values.typeName(value) + "'");
    }
    return value;
  }

  /** {@code value[index]}, or null where there is none; {@code found[0]} tells None from absent. */
  static Object index(Object value, Object index, boolean[] found) {
    found[0] = true;
    if (value instanceof Map) {
      Map<Object, Object> map = Values.dict(value);
      boolean hashable = !(index instanceof Seq || index instanceof Map);
      if (hashable && map.containsKey(index)) {
        return map.get(index);
      }
    } else if (index instanceof Long || index instanceof Boolean) {
      long i = Values.toLong(index, "an index");
      if (value instanceof Seq seq && seq.isIndexable()) {
        int at = position(i, seq.items().size());
        if (at >= 0) {
          return seq.items().get(at);
        }
      } else if (value instanceof Str str) {
        int at = position(i, str.codePoints());
        if (at >= 0) {
          int from = str.text().offsetByCodePoints(0, at);
          return str.slice(from, str.text().offsetByCodePoints(from, 1));
        }
      }
    }
    found[0] = false;
    return null;
  }

  private static int position(long index, int length) {
    long at = index < 0 ? index + length : index;
    return at < 0 || at >= length ? -1 : (int) at;
  }

  /** {@code value[start:stop:step]}; a bound that is None is null. */
  static Object slice(Object value, Object start, Object stop, Object step, Budget budget) {
    long by = step == null ? 1 : Values.toLong(step, "a slice's step");
    if (by == 0) {
      throw new TemplateError("slice step cannot be zero");
    }
    boolean isStr = value instanceof Str;
    if (!isStr && !(value instanceof Seq seq && seq.isIndexable())) {
      if (value instanceof Undefined undefined) {
        throw undefined.error();
      }
      return new Undefined("'" + Values.typeName(value) + " object' cannot be sliced");
    }
    int n = (int) length(value);
    long from = bound(start, by > 0 ? 0 : n - 1, n, by > 0);
    long to = bound(stop, by > 0 ? n : -1, n, by > 0);
    if (isStr) {
      return budget.made(sliceText((Str) value, from, to, by));
    }
    Seq seq = (Seq) value;
    if (seq.items() instanceof Range range) {
      long first = range.start() + from * range.step();
      return Range.of(first, range.start() + to * range.step(), range.step() * by);
    }
    List<Object> items = new ArrayList<>();
    for (long i = from; by > 0 ? i < to : i > to; i += by) {
      items.add(seq.items().get((int) i));
    }
    return budget.made(new Seq(items, seq.kind()));
  }

  private static long bound(Object bound, long fallback, int n, boolean forward) {
    if (bound == null) {
      return fallback;
    }
    long at = Values.toLong(bound, "a slice's bound");
    if (at < 0) {
      at = Math.max(at + n, forward ? 0 : -1);
    }
    return Math.min(at, forward ? n : n - 1L);
  }

  private static Str sliceText(Str str, long from, long to, long by) {
    String text = str.text();
    if (by == 1) {
      if (from >= to) {
        return Str.EMPTY;
      }
      int begin = text.offsetByCodePoints(0, (int) from);
      return str.slice(begin, text.offsetByCodePoints(begin, (int) (to - from)));
    }
    int[] starts = new int[str.codePoints() + 1];
    for (int i = 1; i < starts.length; i++) {
      starts[i] = text.offsetByCodePoints(starts[i - 1], 1);
    }
    StrBuilder out = new StrBuilder();
    for (long i = from; by > 0 ? i < to : i > to; i += by) {
      out.append(str.slice(starts[(int) i], starts[(int) i + 1]));
    }
    return out.build();
  }
}
