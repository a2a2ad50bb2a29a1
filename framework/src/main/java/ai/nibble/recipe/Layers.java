package ai.nibble.recipe;

import java.io.IOException;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** A recipe's file and the files it includes, merged: later files and its own keys win. */
final class Layers {
  /** Includes of includes of includes … */
  private static final int DEEPEST = 16;

  private static final int MOST_FILES = 100;

  private static final ValueType NAMES = new GroupTypes.ListOf(new ScalarTypes.Text(), 0);

  private final Reading at;

  /** The files being read, outermost first, to see a file include itself. */
  private final Deque<Path> open = new ArrayDeque<>();

  private int files;

  private Layers(Reading at) {
    this.at = at;
  }

  /** Empty once the recipe's own file could not be read; problems of included ones are reported. */
  static Optional<Node.Fields> read(Path recipe, Reading at) {
    Path directory = Path.of("").toAbsolutePath();
    Position start = new Position(Problems.shown(recipe.toString()), 0, 0, directory);
    return new Layers(at).file(recipe, start);
  }

  private Optional<Node.Fields> file(Path file, Position namedAt) {
    Optional<SourceText> source = SourceText.read(file, namedAt, at.problems());
    Optional<Node> root = source.flatMap(text -> YamlReader.read(text, at.problems()));
    if (root.isEmpty()) {
      return Optional.empty();
    }
    Position whole = source.get().start();
    if (root.get() instanceof Node.Scalar scalar && scalar.kind() == ScalarKind.NULL) {
      at.problems().add(whole, "the file is empty, expected keys: recipes/README.md lists them");
      return Optional.empty();
    }
    if (!(root.get() instanceof Node.Fields fields)) {
      String seen = root.get().seen();
      at.problems().add(root.get().at(), "the file is " + seen + ", expected a map of keys");
      return Optional.empty();
    }
    Node.Fields own = Aliases.resolve(fields, at);
    Node.Field include = own.fields().get(Schema.INCLUDE);
    if (include == null) {
      return Optional.of(own);
    }
    Map<String, Node.Field> rest = new LinkedHashMap<>(own.fields());
    rest.remove(Schema.INCLUDE);
    Node.Fields base = included(include.value(), file, whole);
    return Optional.of(base.merge(new Node.Fields(rest, own.at())));
  }

  private Node.Fields included(Node include, Path file, Position whole) {
    Node.Fields merged = new Node.Fields(Map.of(), whole);
    List<?> names = (List<?>) NAMES.read(include, at.child(Schema.INCLUDE));
    if (names == null) {
      return merged;
    }
    open.push(real(file));
    for (int i = 0; i < names.size(); i++) {
      Position namedAt =
          include instanceof Node.Items items ? items.items().get(i).at() : include.at();
      Optional<Node.Fields> part = part(file, (String) names.get(i), namedAt);
      merged = part.isPresent() ? merged.merge(part.get()) : merged;
    }
    open.pop();
    return merged;
  }

  private Optional<Node.Fields> part(Path file, String name, Position namedAt) {
    Path part;
    try {
      part = file.resolveSibling(name).normalize();
    } catch (InvalidPathException e) {
      String shown = "'" + Problems.shown(name) + "'";
      at.problems().add(namedAt, shown + " is not a path, expected a YAML file");
      return Optional.empty();
    }
    String shown = "'" + Problems.shown(part.toString()) + "'";
    if (open.contains(real(part))) {
      at.problems().add(namedAt, shown + " includes itself: remove one of the includes");
      return Optional.empty();
    }
    if (open.size() > DEEPEST || ++files > MOST_FILES) {
      String limit = " deep or " + MOST_FILES + " files: flatten the includes";
      at.problems().add(namedAt, shown + " is included more than " + DEEPEST + limit);
      return Optional.empty();
    }
    return file(part, namedAt);
  }

  private static Path real(Path file) {
    try {
      return file.toRealPath();
    } catch (IOException e) {
      return file.toAbsolutePath().normalize();
    }
  }
}
