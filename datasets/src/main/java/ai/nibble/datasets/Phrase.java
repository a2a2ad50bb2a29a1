package ai.nibble.datasets;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * A way to say something, with choices and places for values.
 *
 * <p>{@code [a|b|]} chooses one of its branches; {@code {name}} stands for a value of the kind that
 * the name says (less digits at its end), {@code {name:kind}} for one of another kind, and the same
 * name for the same value wherever it comes up again; {@code {name=text}} sets a value and writes
 * nothing; {@code {name? text}} writes the text where the name has a value. All of it nests.
 */
final class Phrase {
  private sealed interface Part {}

  private record Literal(String text) implements Part {}

  private record Place(String name, String kind) implements Part {}

  private record Setting(String name, String value) implements Part {}

  private record Condition(String name, Phrase then) implements Part {}

  private record Choice(List<Phrase> branches) implements Part {}

  private final List<Part> parts;

  private Phrase(List<Part> parts) {
    this.parts = parts;
  }

  /**
   * A phrase once said.
   *
   * @param text with its values
   * @param skeleton with {@code {kind}} in the place of each value: which way it was said
   */
  record Said(String text, String skeleton) {}

  /**
   * @throws IllegalArgumentException where a bracket is missing
   */
  static Phrase parse(String text) {
    Parser parser = new Parser(text);
    Phrase phrase = parser.phrase("");
    if (parser.at < text.length()) {
      throw new IllegalArgumentException("'" + text + "': too many brackets at " + parser.at);
    }
    return phrase;
  }

  /** Says it in one of its ways; values that are not in {@code slots} yet are drawn there. */
  Said say(Random random, Slots slots) {
    StringBuilder text = new StringBuilder();
    StringBuilder skeleton = new StringBuilder();
    say(random, slots, text, skeleton);
    return new Said(text.toString(), skeleton.toString());
  }

  private void say(Random random, Slots slots, StringBuilder text, StringBuilder skeleton) {
    for (Part part : parts) {
      if (part instanceof Literal literal) {
        text.append(literal.text());
        skeleton.append(literal.text());
      } else if (part instanceof Place place) {
        text.append(slots.value(place.name(), place.kind()).said());
        skeleton.append('{').append(place.kind()).append('}');
      } else if (part instanceof Setting setting) {
        slots.set(setting.name(), new Value(setting.value()));
      } else if (part instanceof Condition condition) {
        if (slots.has(condition.name())) {
          condition.then().say(random, slots, text, skeleton);
        }
      } else if (part instanceof Choice choice) {
        int branch = random.nextInt(choice.branches().size());
        choice.branches().get(branch).say(random, slots, text, skeleton);
      }
    }
  }

  private static final class Parser {
    private final String text;
    private int at;

    Parser(String text) {
      this.text = text;
    }

    /** Up to one of these characters, which is left to be read, or the end. */
    Phrase phrase(String ends) {
      List<Part> parts = new ArrayList<>();
      StringBuilder literal = new StringBuilder();
      while (at < text.length() && ends.indexOf(text.charAt(at)) < 0) {
        char c = text.charAt(at);
        if (c != '[' && c != '{') {
          if (c == ']' || c == '}') {
            break;
          }
          literal.append(c == '\\' ? escaped() : c);
          at++;
          continue;
        }
        if (!literal.isEmpty()) {
          parts.add(new Literal(literal.toString()));
          literal.setLength(0);
        }
        parts.add(c == '[' ? choice() : place());
      }
      if (!literal.isEmpty()) {
        parts.add(new Literal(literal.toString()));
      }
      return new Phrase(parts);
    }

    /** {@code \n} is a line's end; any other character behind a backslash stands for itself. */
    private char escaped() {
      char c = text.charAt(++at);
      return c == 'n' ? '\n' : c;
    }

    private Choice choice() {
      List<Phrase> branches = new ArrayList<>();
      do {
        at++;
        branches.add(phrase("|]"));
      } while (at < text.length() && text.charAt(at) == '|');
      close(']');
      return new Choice(branches);
    }

    private Part place() {
      int begin = ++at;
      while (at < text.length() && "}:=?".indexOf(text.charAt(at)) < 0) {
        at++;
      }
      String name = text.substring(begin, at);
      char mark = at < text.length() ? text.charAt(at) : ' ';
      if (mark == '?') {
        at++;
        Condition condition = new Condition(name, phrase("}"));
        close('}');
        return condition;
      }
      int end = Math.max(text.indexOf('}', at), at);
      String rest = mark == '}' ? "" : text.substring(Math.min(at + 1, end), end);
      at = end;
      close('}');
      return mark == '='
          ? new Setting(name, rest)
          : new Place(name, mark == ':' ? rest : name.replaceFirst("\\d+$", ""));
    }

    private void close(char bracket) {
      if (at >= text.length() || text.charAt(at) != bracket) {
        throw new IllegalArgumentException("'" + text + "': expected '" + bracket + "' at " + at);
      }
      at++;
    }
  }
}
