package ai.nibble.recipe;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** {@code --set key=value}: the last layer, which reaches into lists and maps. */
final class Overrides {
  private static final int DEEPEST = 8;

  private final Reading at;
  private final Map<List<String>, String> writtenAs = new LinkedHashMap<>();

  private Overrides(Reading at) {
    this.at = at;
  }

  /** The recipe's keys with the values of {@code sets}, each {@code key=value}, laid on top. */
  static Node.Fields apply(Node.Fields fields, List<String> sets, Reading at) {
    Overrides overrides = new Overrides(at);
    Node.Fields result = fields;
    for (String set : sets) {
      result = overrides.apply(result, set);
    }
    return result;
  }

  private Node.Fields apply(Node.Fields fields, String set) {
    Path here = Path.of("").toAbsolutePath();
    Position start = new Position("--set " + Problems.shown(set), 0, 0, here);
    int equals = set.indexOf('=');
    List<String> path = equals < 0 ? List.of() : List.of(set.substring(0, equals).split("\\.", -1));
    if (path.isEmpty() || path.size() > DEEPEST || path.contains("")) {
      String example = "expected key=value, for example learning_rate=1e-4 or datasets.0.path=x";
      at.problems().add(start, "no key before a '=', " + example);
      return fields;
    }
    SourceText source = new SourceText(set.substring(equals + 1), start, false);
    Optional<Node> value = YamlReader.read(source, at.problems());
    if (value.isEmpty()) {
      return fields;
    }
    Node.Field field = new Node.Field(start, value.get());
    if (path.size() == 1) {
      return top(fields, path.get(0), field);
    }
    List<String> canonical = new ArrayList<>(path);
    canonical.set(0, Aliases.canonical(path.get(0)));
    once(canonical, start);
    return (Node.Fields) put(fields, canonical, 0, field);
  }

  private Node.Fields top(Node.Fields fields, String key, Node.Field field) {
    if (key.equals(Schema.INCLUDE)) {
      String why = "'include' cannot be set: it belongs in a recipe; give its keys by --set";
      at.problems().add(field.keyAt(), why);
      return fields;
    }
    Node.Fields one = new Node.Fields(Map.of(key, field), field.keyAt());
    Node.Fields layer = Aliases.resolve(one, at);
    layer.fields().keySet().forEach(name -> once(List.of(name), field.keyAt()));
    return new Node.Fields(fields.merge(layer).fields(), fields.at());
  }

  private void once(List<String> path, Position start) {
    String before = writtenAs.putIfAbsent(path, start.source());
    if (before != null) {
      String key = Problems.shown(String.join(".", path));
      at.problems().add(start, "sets '" + key + "' again after '" + before + "': keep one");
    }
  }

  /** The node with the value at the path; the node itself once a problem has been reported. */
  private Node put(Node node, List<String> path, int depth, Node.Field field) {
    if (depth == path.size()) {
      return field.value();
    }
    String step = path.get(depth);
    if (node instanceof Node.Fields fields) {
      Node.Field under = fields.fields().get(step);
      Node inner = under != null ? under.value() : missing(path, depth + 1, field.keyAt());
      Position keyAt = under != null ? under.keyAt() : field.keyAt();
      return fields.with(step, new Node.Field(keyAt, put(inner, path, depth + 1, field)));
    }
    if (node instanceof Node.Items items) {
      return putItem(items, path, depth, field);
    }
    String key = Problems.shown(String.join(".", path.subList(0, depth)));
    String what = "'" + key + "' is " + node.seen() + " (" + node.at() + ")";
    at.problems().add(field.keyAt(), what + ", expected a list or a map to reach into");
    return node;
  }

  private Node putItem(Node.Items items, List<String> path, int depth, Node.Field field) {
    String step = path.get(depth);
    int count = items.items().size();
    int index = step.matches("[0-9]{1,5}") ? Integer.parseInt(step) : -1;
    if (index < 0 || index > count) {
      String key = Problems.shown(String.join(".", path.subList(0, depth)));
      String range = "expected one from 0 to " + count + " (" + count + " adds an entry)";
      at.problems()
          .add(
              field.keyAt(), "'" + key + "' has no entry '" + Problems.shown(step) + "', " + range);
      return items;
    }
    List<Node> changed = new ArrayList<>(items.items());
    if (index == count) {
      changed.add(missing(path, depth + 1, field.keyAt()));
    }
    changed.set(index, put(changed.get(index), path, depth + 1, field));
    return new Node.Items(changed, items.at());
  }

  /** What is made on the way to a new key: a list before an index, else a map. */
  private static Node missing(List<String> path, int depth, Position at) {
    boolean list = depth < path.size() && path.get(depth).equals("0");
    return list ? new Node.Items(List.of(), at) : new Node.Fields(Map.of(), at);
  }
}
