package ai.nibble.data.jinja;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** Methods of dicts, lists and tuples. Those that would change them are refused when called. */
final class CollectionMethods {
  private static final Set<String> DICT_CHANGES =
      Set.of("clear", "pop", "popitem", "setdefault", "update");
  private static final Set<String> LIST_CHANGES =
      Set.of("append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove");

  private CollectionMethods() {}

  /** The bound method, or null where a dict has none of that name. */
  static Object bindDict(Map<Object, Object> dict, String name) {
    if (DICT_CHANGES.contains(name)) {
      return refused(name, "dict");
    }
    Callable method =
        switch (name) {
          case "keys" ->
              (a, budget) -> budget.made(new Seq(new ArrayList<>(dict.keySet()), "dict_keys"));
          case "values" ->
              (a, budget) -> budget.made(new Seq(new ArrayList<>(dict.values()), "dict_values"));
          case "items" -> (a, budget) -> budget.made(new Seq(items(dict), "dict_items"));
          case "copy" -> (a, budget) -> budget.made(new LinkedHashMap<>(dict));
          case "get" ->
              (a, budget) -> {
                Object[] bound = a.bind("get", 1, "key", "default");
                Object key = Sequences.key(bound[0]);
                return dict.containsKey(key) ? dict.get(key) : Arguments.or(bound[1], null);
              };
          default -> null;
        };
    return method;
  }

  static List<Object> items(Map<Object, Object> dict) {
    List<Object> items = new ArrayList<>(dict.size());
    dict.forEach((key, value) -> items.add(Seq.tuple(key, value)));
    return items;
  }

  /** The bound method, or null where a sequence of this kind has none of that name. */
  static Object bindSequence(Seq seq, String name) {
    if (seq.isList() && LIST_CHANGES.contains(name)) {
      return refused(name, "list");
    }
    if (!seq.isIndexable()) {
      return null;
    }
    Callable method =
        switch (name) {
          case "index" ->
              (a, budget) -> {
                Object wanted = a.bind("index", 1, "value")[0];
                for (int i = 0; i < seq.items().size(); i++) {
                  if (Comparison.equal(seq.items().get(i), wanted, budget)) {
                    return (long) i;
                  }
                }
                throw new TemplateError(Printing.repr(wanted, budget) + " is not in the list");
              };
          case "count" ->
              (a, budget) -> {
                Object wanted = a.bind("count", 1, "value")[0];
                return seq.items().stream()
                    .filter(item -> Comparison.equal(item, wanted, budget))
                    .count();
              };
          case "copy" ->
              seq.isList()
                  ? (a, budget) -> budget.made(Seq.list(new ArrayList<>(seq.items())))
                  : null;
          default -> null;
        };
    return method;
  }

  private static Undefined refused(String name, String type) {
    return new Undefined(
        "access to attribute '" + name + "' of '" + type + "' is unsafe: templates change nothing");
  }
}
