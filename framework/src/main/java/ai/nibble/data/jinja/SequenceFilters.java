package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** The filters on sequences. */
final class SequenceFilters {
  private SequenceFilters() {}

  static Map<String, Filter> byName() {
    Map<String, Filter> all = new HashMap<>();
    all.put("length", (v, a, b) -> Sequences.length(v));
    all.put("count", (v, a, b) -> Sequences.length(v));
    all.put("list", (v, a, b) -> Seq.list(Sequences.toList(v, b)));
    all.put("first", (v, a, b) -> first(Sequences.iterate(v, b), "first"));
    all.put("last", SequenceFilters::last);
    all.put("items", SequenceFilters::items);
    all.put("join", SequenceFilters::join);
    all.put("reverse", SequenceFilters::reverse);
    all.put("sort", SequenceFilters::sort);
    all.put("unique", SequenceFilters::unique);
    all.put("dictsort", SequenceFilters::dictSort);
    all.put("sum", SequenceFilters::sum);
    all.put("min", (v, a, b) -> extreme(v, a, b, -1));
    all.put("max", (v, a, b) -> extreme(v, a, b, 1));
    all.put("batch", SequenceFilters::batch);
    all.put("groupby", SequenceFilters::groupBy);
    all.put("attr", (v, a, b) -> attr(v, a.bind("attr", 1, "name")[0], b));
    all.put("map", LazyFilters::map);
    all.put("select", (v, a, b) -> LazyFilters.select(v, a, b, true, false));
    all.put("reject", (v, a, b) -> LazyFilters.select(v, a, b, false, false));
    all.put("selectattr", (v, a, b) -> LazyFilters.select(v, a, b, true, true));
    all.put("rejectattr", (v, a, b) -> LazyFilters.select(v, a, b, false, true));
    return all;
  }

  private static Object first(Iterator<Object> items, String what) {
    return items.hasNext()
        ? items.next()
        : new Undefined("No " + what + " item, sequence was empty.");
  }

  private static Object last(Object value, Arguments arguments, Budget budget) {
    if (value instanceof Generator) {
      throw new TemplateError("'generator' object is not reversible");
    }
    List<Object> items = Sequences.toList(value, budget);
    Collections.reverse(items);
    return first(items.iterator(), "last");
  }

  private static Object items(Object value, Arguments arguments, Budget budget) {
    if (value instanceof Undefined) {
      return new Generator(Collections.emptyIterator());
    }
    if (!(value instanceof Map)) {
      throw new TemplateError("Can only get item pairs from a mapping.");
    }
    return new Generator(CollectionMethods.items(Values.dict(value)).iterator());
  }

  private static Object join(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("join", 0, "d", "attribute");
    Str separator = Printing.str(Arguments.or(bound[0], Str.EMPTY), budget);
    Object attribute = Arguments.or(bound[1], null);
    StrBuilder out = new StrBuilder();
    boolean first = true;
    for (Iterator<Object> items = Sequences.iterate(value, budget); items.hasNext(); ) {
      Object item = items.next();
      out.append(first ? Str.EMPTY : separator);
      out.append(Printing.str(attribute == null ? item : path(item, attribute, budget), budget));
      first = false;
    }
    return out.build();
  }

  private static Object reverse(Object value, Arguments arguments, Budget budget) {
    if (value instanceof Str str) {
      StrBuilder out = new StrBuilder();
      List<Object> characters = Sequences.toList(str, budget);
      for (int i = characters.size() - 1; i >= 0; i--) {
        out.append((Str) characters.get(i));
      }
      return out.build();
    }
    List<Object> items = Sequences.toList(value, budget);
    Collections.reverse(items);
    return value instanceof Generator ? Seq.list(items) : new Generator(items.iterator());
  }

  private static Object sort(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("sort", 0, "reverse", "case_sensitive", "attribute");
    boolean reversed = Values.truth(Arguments.or(bound[0], false));
    boolean caseSensitive = Values.truth(Arguments.or(bound[1], false));
    Object attribute = Arguments.or(bound[2], null);
    List<Object> items = Sequences.toList(value, budget);
    Comparator<Object> order = order(attribute, caseSensitive, budget);
    items.sort(reversed ? order.reversed() : order);
    return Seq.list(items);
  }

  /** By one attribute path, or several that are separated by commas; ties keep their order. */
  private static Comparator<Object> order(Object attribute, boolean caseSensitive, Budget budget) {
    if (!(attribute instanceof Str names) || !names.text().contains(",")) {
      return (x, y) ->
          Comparison.compare(
              sortKey(x, attribute, caseSensitive, budget),
              sortKey(y, attribute, caseSensitive, budget),
              "<",
              budget);
    }
    Comparator<Object> order = null;
    for (String name : names.text().split(",", -1)) {
      Comparator<Object> next = order(Str.of(name), caseSensitive, budget);
      order = order == null ? next : order.thenComparing(next);
    }
    return order;
  }

  private static Object sortKey(
      Object item, Object attribute, boolean caseSensitive, Budget budget) {
    Object key = attribute == null ? item : path(item, attribute, budget);
    return key instanceof Str str && !caseSensitive ? StringMethods.lower(str) : key;
  }

  private static Object unique(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("unique", 0, "case_sensitive", "attribute");
    boolean caseSensitive = Values.truth(Arguments.or(bound[0], false));
    Object attribute = Arguments.or(bound[1], null);
    Map<Object, Object> seen = new LinkedHashMap<>();
    for (Iterator<Object> items = Sequences.iterate(value, budget); items.hasNext(); ) {
      Object item = items.next();
      budget.work(32);
      seen.putIfAbsent(Sequences.key(sortKey(item, attribute, caseSensitive, budget)), item);
    }
    return new Generator(new ArrayList<>(seen.values()).iterator());
  }

  private static Object dictSort(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("dictsort", 0, "case_sensitive", "by", "reverse");
    boolean caseSensitive = Values.truth(Arguments.or(bound[0], false));
    String by = Printing.str(Arguments.or(bound[1], Str.of("key")), budget).text();
    if (!by.equals("key") && !by.equals("value")) {
      throw new TemplateError("You can only sort by either 'key' or 'value'");
    }
    if (!(value instanceof Map)) {
      throw new TemplateError("dictsort of a " + Values.typeName(value) + ", expected a dict");
    }
    List<Object> items = CollectionMethods.items(Values.dict(value));
    Object position = by.equals("key") ? 0L : 1L;
    Comparator<Object> order = order(position, caseSensitive, budget);
    items.sort(Values.truth(Arguments.or(bound[2], false)) ? order.reversed() : order);
    return Seq.list(items);
  }

  private static Object sum(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("sum", 0, "attribute", "start");
    Object attribute = Arguments.or(bound[0], null);
    Object total = Arguments.or(bound[1], 0L);
    for (Iterator<Object> items = Sequences.iterate(value, budget); items.hasNext(); ) {
      Object item = items.next();
      Object term = attribute == null ? item : path(item, attribute, budget);
      total = Arithmetic.apply("+", total, term, budget);
    }
    return total;
  }

  private static Object extreme(Object value, Arguments arguments, Budget budget, int sign) {
    Object[] bound = arguments.bind("min or max", 0, "case_sensitive", "attribute");
    boolean caseSensitive = Values.truth(Arguments.or(bound[0], false));
    Comparator<Object> order = order(Arguments.or(bound[1], null), caseSensitive, budget);
    Iterator<Object> items = Sequences.iterate(value, budget);
    Object best = first(items, "aggregated");
    while (items.hasNext()) {
      Object item = items.next();
      best = order.compare(item, best) * sign > 0 ? item : best;
    }
    return best;
  }

  private static Object batch(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("batch", 1, "linecount", "fill_with");
    int size = Values.toInt(bound[0], "batch's size");
    if (size < 1 || size > Budget.MAX_LIST) {
      throw new TemplateError("batch's size is " + size + ", expected 1 to " + Budget.MAX_LIST);
    }
    Object fill = Arguments.or(bound[1], null);
    List<Object> items = Sequences.toList(value, budget);
    List<Object> batches = new ArrayList<>();
    for (int from = 0; from < items.size(); from += size) {
      List<Object> part = new ArrayList<>(items.subList(from, Math.min(items.size(), from + size)));
      while (fill != null && part.size() < size) {
        part.add(fill);
      }
      batches.add(Seq.list(part));
    }
    return new Generator(batches.iterator());
  }

  private static Object groupBy(Object value, Arguments arguments, Budget budget) {
    Object[] bound = arguments.bind("groupby", 1, "attribute", "default", "case_sensitive");
    boolean caseSensitive = Values.truth(Arguments.or(bound[2], false));
    List<Object> items = Sequences.toList(value, budget);
    items.sort(order(bound[0], caseSensitive, budget));
    Map<Object, List<Object>> groups = new LinkedHashMap<>();
    Map<Object, Object> names = new HashMap<>();
    for (Object item : items) {
      Object key = Sequences.key(sortKey(item, bound[0], caseSensitive, budget));
      names.putIfAbsent(key, path(item, bound[0], budget));
      groups.computeIfAbsent(key, k -> new ArrayList<>()).add(item);
    }
    List<Object> pairs = new ArrayList<>();
    groups.forEach((key, group) -> pairs.add(Seq.tuple(names.get(key), Seq.list(group))));
    return Seq.list(pairs);
  }

  /** An attribute by a path such as {@code function.name}; digits are positions. */
  static Object path(Object item, Object attribute, Budget budget) {
    if (!(attribute instanceof Str path)) {
      return Attributes.item(item, attribute, budget);
    }
    Object value = item;
    for (String name : path.text().split("\\.", -1)) {
      boolean position =
          !name.isEmpty() && name.length() < 10 && name.chars().allMatch(Character::isDigit);
      value = Attributes.item(value, position ? (Object) Long.valueOf(name) : Str.of(name), budget);
    }
    return value;
  }

  /** The {@code attr} filter: attributes only, never keys. */
  private static Object attr(Object value, Object name, Budget budget) {
    Str attribute = Printing.str(name, budget);
    if (value instanceof Map && Values.dict(value).containsKey(attribute)) {
      return Undefined.attribute(value, attribute);
    }
    return Attributes.get(value, attribute, budget);
  }
}
