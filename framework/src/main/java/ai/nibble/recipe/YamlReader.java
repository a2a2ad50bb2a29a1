package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.JsonProblem;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.dataformat.yaml.YAMLFactory;
import com.fasterxml.jackson.dataformat.yaml.YAMLParser;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.yaml.snakeyaml.LoaderOptions;
import org.yaml.snakeyaml.error.Mark;
import org.yaml.snakeyaml.error.MarkedYAMLException;
import org.yaml.snakeyaml.reader.ReaderException;

/**
 * YAML text as a tree of {@link Node}s with their positions, from the parser's stream of tokens: no
 * class is ever loaded for a tag, and depth, size and what aliases expand to are bounded.
 */
final class YamlReader {
  /** As deep as SnakeYAML's own default. */
  static final int DEEPEST = 50;

  /** Values in one file, aliases counted as often as they are used. */
  static final int MOST_VALUES = 10_000;

  /** The parser's events tell neither a scalar's anchor nor {@code "16"} from {@code 16}. */
  private static final Pattern START =
      Pattern.compile("(?:&(?<anchor>[^\\s,\\[\\]{}]+)(?:\\s+|(?=[,\\]}])|$))?(?<quote>[\"'|>]?)");

  private final SourceText source;
  private final int[] lineStarts;
  private final YAMLParser yaml;
  private final Problems problems;
  private final Map<String, Node> anchors = new HashMap<>();
  private int values;

  private YamlReader(SourceText source, Problems problems) throws IOException {
    this.source = source;
    this.problems = problems;
    this.lineStarts = lineStarts(source.text());
    LoaderOptions options = new LoaderOptions();
    options.setCodePointLimit(SourceText.MOST_BYTES + 1);
    this.yaml = YAMLFactory.builder().loaderOptions(options).build().createParser(source.text());
  }

  /** Ends the reading of one file at the first thing that cannot be read past. */
  private static final class Unreadable extends Exception {
    private static final long serialVersionUID = 1L;
    private final transient Position at;

    Unreadable(Position at, String what) {
      super(what);
      this.at = at;
    }
  }

  /** The one document of the source; empty once a problem has been reported. */
  static Optional<Node> read(SourceText source, Problems problems) {
    problems.begin(source.start());
    try {
      return Optional.of(new YamlReader(source, problems).document());
    } catch (Unreadable e) {
      problems.add(e.at, e.getMessage());
    } catch (JsonProcessingException e) {
      problems.add(place(e, source), reason(e));
    } catch (IOException e) {
      problems.add(source.start(), "cannot be read: " + Problems.shown(FileProblem.reason(e)));
    }
    return Optional.empty();
  }

  private Node document() throws IOException, Unreadable {
    JsonToken first = yaml.nextToken();
    if (first == null) {
      return new Node.Scalar("", false, source.start());
    }
    Node root = value(first, 1);
    if (yaml.nextToken() != null) {
      throw new Unreadable(here(), "a second document starts here: expected one document a file");
    }
    return root;
  }

  private Node value(JsonToken token, int depth) throws IOException, Unreadable {
    Position at = here();
    if (depth > DEEPEST) {
      throw new Unreadable(at, "nested deeper than " + DEEPEST + " levels: flatten it");
    }
    if (yaml.getTypeId() != null) {
      String tag = Problems.shown(tagAsWritten());
      throw new Unreadable(at, "the tag '" + tag + "': tags are not allowed; remove it");
    }
    if (yaml.isCurrentAlias()) {
      return alias(yaml.getText(), at);
    }
    String anchor = anchor();
    count(1, at);
    Node node =
        switch (token) {
          case START_OBJECT -> fields(at, depth);
          case START_ARRAY -> items(at, depth);
          default -> new Node.Scalar(yaml.getText(), isQuoted(), at);
        };
    if (anchor != null) {
      anchors.put(anchor, node);
    }
    return node;
  }

  private String tagAsWritten() throws IOException {
    return String.valueOf(yaml.getTypeId()).replaceFirst("^tag:yaml.org,2002:", "!!");
  }

  private Node alias(String name, Position at) throws Unreadable {
    Node node = anchors.get(name);
    if (node == null) {
      throw new Unreadable(
          at, "the alias '*" + Problems.shown(name) + "' has no anchor before it: define it first");
    }
    count(node.size(), at);
    return node;
  }

  private void count(int more, Position at) throws Unreadable {
    values += more;
    if (values > MOST_VALUES) {
      throw new Unreadable(
          at, "more than " + MOST_VALUES + " values, aliases expanded: a recipe needs fewer");
    }
  }

  private Node items(Position at, int depth) throws IOException, Unreadable {
    List<Node> items = new ArrayList<>();
    for (JsonToken t = yaml.nextToken(); t != JsonToken.END_ARRAY; t = yaml.nextToken()) {
      items.add(value(t, depth + 1));
    }
    return new Node.Items(items, at);
  }

  private Node fields(Position at, int depth) throws IOException, Unreadable {
    Map<String, Node.Field> fields = new LinkedHashMap<>();
    for (JsonToken t = yaml.nextToken(); t != JsonToken.END_OBJECT; t = yaml.nextToken()) {
      Position keyAt = here();
      String key = yaml.currentName();
      if (yaml.getTypeId() != null) {
        throw new Unreadable(keyAt, "a key has a tag: tags are not allowed; remove it");
      }
      Node value = value(yaml.nextToken(), depth + 1);
      Node.Field before = fields.putIfAbsent(key, new Node.Field(keyAt, value));
      if (before != null) {
        problems.add(
            keyAt,
            "the key '"
                + Problems.shown(key)
                + "' stands twice, here and at line "
                + before.keyAt().line()
                + ": keep one");
      }
    }
    return new Node.Fields(fields, at);
  }

  private Position here() {
    JsonLocation location = yaml.currentTokenLocation();
    return source.at(location.getLineNr(), location.getColumnNr());
  }

  private Matcher startOfToken() {
    JsonLocation location = yaml.currentTokenLocation();
    int line = Math.min(Math.max(location.getLineNr(), 1), lineStarts.length);
    int columns = Math.max(location.getColumnNr() - 1, 0);
    int offset = source.text().offsetByCodePoints(lineStarts[line - 1], columns);
    Matcher start = START.matcher(source.text()).region(offset, source.text().length());
    start.lookingAt();
    return start;
  }

  private boolean isQuoted() {
    return !startOfToken().group("quote").isEmpty();
  }

  private String anchor() {
    return startOfToken().group("anchor");
  }

  /** Offsets of the lines, broken where YAML 1.1 breaks them. */
  private static int[] lineStarts(String text) {
    List<Integer> starts = new ArrayList<>(List.of(0));
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      boolean carriage = c == '\r' && !(i + 1 < text.length() && text.charAt(i + 1) == '\n');
      if (c == '\n' || carriage || c == '\u0085' || c == '\u2028' || c == '\u2029') {
        starts.add(i + 1);
      }
    }
    return starts.stream().mapToInt(Integer::intValue).toArray();
  }

  private static Position place(JsonProcessingException e, SourceText source) {
    for (Throwable t = e; t != null; t = t.getCause()) {
      if (t instanceof ReaderException bad) {
        return source.at(bad.getPosition());
      }
      if (t instanceof MarkedYAMLException marked && marked.getProblemMark() != null) {
        Mark mark = marked.getProblemMark();
        return source.at(mark.getLine() + 1, mark.getColumn() + 1);
      }
    }
    JsonLocation location = e.getLocation();
    return location == null
        ? source.start()
        : source.at(location.getLineNr(), location.getColumnNr());
  }

  private static String reason(JsonProcessingException e) {
    for (Throwable t = e; t != null; t = t.getCause()) {
      if (t instanceof MarkedYAMLException marked) {
        return "not YAML: " + remedy(Problems.shown(marked.getProblem()));
      }
      if (t instanceof ReaderException bad) {
        return String.format(
            "not YAML: the character U+%04X is not allowed: remove it", bad.getCodePoint());
      }
    }
    return "not YAML: "
        + Problems.shown(JsonProblem.reason(e))
        + "; check this line and the one before";
  }

  private static String remedy(String problem) {
    return problem.contains("(TAB)")
        ? "a tab where a value or indentation should be: use spaces"
        : problem + "; check this line and the one before";
  }
}
