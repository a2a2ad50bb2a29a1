package ai.nibble.recipe;

import java.nio.file.InvalidPathException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** The types whose value is a single word, number or text. */
final class ScalarTypes {
  private ScalarTypes() {}

  /** The scalar, unless the node is a list, a map or empty. */
  static Node.Scalar scalar(Node node, ValueType type, Reading at) {
    if (node instanceof Node.Scalar scalar && scalar.kind() != ScalarKind.NULL) {
      return scalar;
    }
    at.reject(node, type.expected());
    return null;
  }

  /** Text that YAML does not take for anything else. */
  static String text(Node node, ValueType type, Reading at) {
    Node.Scalar scalar = scalar(node, type, at);
    if (scalar == null || scalar.kind() == ScalarKind.TEXT) {
      return scalar == null ? null : scalar.text();
    }
    String remedy = " (it is " + scalar.kind().words() + "): put it in quotes";
    at.reject(node, type.expected() + remedy);
    return null;
  }

  /** A number within the range, or null once reported. */
  private static Double number(Node node, Range range, ValueType type, Reading at) {
    Node.Scalar scalar = scalar(node, type, at);
    if (scalar == null) {
      return null;
    }
    if (!scalar.kind().isNumber()) {
      boolean wouldFit = scalar.quoted() && ScalarKind.of(scalar.text()).isNumber();
      String remedy =
          wouldFit
              ? ": remove the quotes"
              : scalar.kind() == ScalarKind.OLD_NUMBER
                  ? " in plain digits, without leading zeros, underscores or prefixes"
                  : "";
      at.reject(node, type.expected() + remedy);
      return null;
    }
    double value = parse(scalar.text());
    if (!range.contains(value)) {
      at.reject(node, type.expected());
      return null;
    }
    return value;
  }

  private static double parse(String text) {
    String plain = text.toLowerCase(Locale.ROOT);
    return switch (plain.replaceFirst("^[-+]", "")) {
      case ".inf" -> plain.startsWith("-") ? Double.NEGATIVE_INFINITY : Double.POSITIVE_INFINITY;
      case ".nan" -> Double.NaN;
      default -> Double.parseDouble(plain);
    };
  }

  /** {@code int} and {@code long}; {@code choices}, if any, are the only values allowed. */
  record Whole(Range range, int[] choices, boolean isLong) implements ValueType {
    @Override
    public Object read(Node node, Reading at) {
      Double rough = number(node, range, this, at);
      if (rough == null) {
        return null;
      }
      Node.Scalar scalar = (Node.Scalar) node;
      long value;
      try {
        value = Long.parseLong(scalar.text());
      } catch (NumberFormatException e) {
        at.reject(node, expected());
        return null;
      }
      boolean fits = isLong || value == (int) value;
      boolean chosen = choices.length == 0 || Arrays.stream(choices).anyMatch(c -> c == value);
      if (!fits || !chosen || !range.contains(value)) {
        at.reject(node, expected());
        return null;
      }
      return isLong ? (Object) value : (Object) (int) value;
    }

    @Override
    public Object write(Object value) {
      return value.toString();
    }

    @Override
    public String expected() {
      return choices.length > 0
          ? "one of " + Arrays.toString(choices)
          : range.describe("a whole number");
    }
  }

  /** {@code double}. */
  record Real(Range range) implements ValueType {
    @Override
    public Object read(Node node, Reading at) {
      return number(node, range, this, at);
    }

    @Override
    public Object write(Object value) {
      return YamlWriter.number((Double) value);
    }

    @Override
    public String expected() {
      return range.describe("a number");
    }
  }

  /** {@code boolean}. */
  record TrueFalse() implements ValueType {
    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Scalar scalar && scalar.kind() == ScalarKind.BOOLEAN) {
        return scalar.text().equalsIgnoreCase("true");
      }
      at.reject(node, expected());
      return null;
    }

    @Override
    public Object write(Object value) {
      return value.toString();
    }

    @Override
    public String expected() {
      return "true or false";
    }
  }

  /** {@code String}. */
  record Text() implements ValueType {
    @Override
    public Object read(Node node, Reading at) {
      String text = text(node, this, at);
      if (text != null && text.isBlank()) {
        at.reject(node, expected() + " that is not blank");
        return null;
      }
      return text;
    }

    @Override
    public Object write(Object value) {
      return YamlWriter.scalar((String) value);
    }

    @Override
    public String expected() {
      return "text";
    }
  }

  /** A path, relative to where it is written; absolute once read. */
  record FilePath() implements ValueType {
    @Override
    public Object read(Node node, Reading at) {
      String text = text(node, this, at);
      if (text == null) {
        return null;
      }
      if (text.isBlank()) {
        at.reject(node, expected());
        return null;
      }
      try {
        return node.at().directory().resolve(text).toAbsolutePath().normalize();
      } catch (InvalidPathException e) {
        at.reject(node, expected() + ": " + Problems.shown(e.getReason()));
        return null;
      }
    }

    @Override
    public Object write(Object value) {
      return YamlWriter.scalar(value.toString());
    }

    @Override
    public String expected() {
      return "a path";
    }
  }

  /** An enum, its constants in lower case. */
  record Choice(List<Enum<?>> constants) implements ValueType {
    static Choice of(Class<?> type) {
      List<Enum<?>> constants = new ArrayList<>();
      for (Object constant : type.getEnumConstants()) {
        constants.add((Enum<?>) constant);
      }
      return new Choice(List.copyOf(constants));
    }

    @Override
    public Object read(Node node, Reading at) {
      Node.Scalar scalar = scalar(node, this, at);
      if (scalar == null) {
        return null;
      }
      for (Enum<?> constant : constants) {
        if (word(constant).equals(word(scalar))) {
          return constant;
        }
      }
      at.reject(node, expected() + NearestName.hint(scalar.text(), words()));
      return null;
    }

    /** {@code True} is {@code true}: booleans are words here. */
    private static String word(Node.Scalar scalar) {
      return scalar.kind() == ScalarKind.BOOLEAN
          ? scalar.text().toLowerCase(Locale.ROOT)
          : scalar.text();
    }

    private static String word(Enum<?> constant) {
      return constant.name().toLowerCase(Locale.ROOT);
    }

    private List<String> words() {
      return constants.stream().map(Choice::word).toList();
    }

    @Override
    public Object write(Object value) {
      return word((Enum<?>) value);
    }

    @Override
    public String expected() {
      return "one of [" + String.join(", ", words()) + "]";
    }
  }
}
