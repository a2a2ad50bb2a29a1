package ai.nibble.recipe;

import java.util.List;
import java.util.Optional;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/** Which linear modules get an adapter ({@code lora_target_modules}). */
public sealed interface TargetModules {

  /** Every linear module except the output head: {@code all-linear}. */
  record AllLinear() implements TargetModules {}

  /**
   * A list: a module is meant if its path is an entry, or ends with a dot and an entry.
   *
   * @param names at least one
   */
  record Named(List<String> names) implements TargetModules {
    public Named {
      names = List.copyOf(names);
    }
  }

  /**
   * A single text: a module is meant if the regular expression matches its whole path.
   *
   * @param regex compiles in Java
   */
  record Matching(String regex) implements TargetModules {}

  /** What keeps a text from being a regular expression over module paths, if anything does. */
  static Optional<String> flawOf(String regex) {
    // Java's compiler recurses for every parenthesis: a long one could overflow the stack.
    if (regex.length() > 1000) {
      return Optional.of("it is longer than 1000 characters");
    }
    try {
      Pattern.compile(regex);
      return Optional.empty();
    } catch (PatternSyntaxException e) {
      return Optional.of(Problems.shown(e.getDescription()));
    }
  }

  /** Reads and writes the three forms. */
  record Type() implements ValueType {
    private static final String ALL = "all-linear";
    private static final ValueType NAMES = new GroupTypes.ListOf(new ScalarTypes.Text(), 1);

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Items items) {
        if (listsAll(items)) {
          at.reject(node, expected() + ": '" + ALL + "' stands alone, not in a list");
          return null;
        }
        Object names = NAMES.read(node, at);
        return names == null
            ? null
            : new Named(((List<?>) names).stream().map(String.class::cast).toList());
      }
      String text = ScalarTypes.text(node, this, at);
      if (text == null || text.equals(ALL)) {
        return text == null ? null : new AllLinear();
      }
      Optional<String> flaw = flawOf(text);
      if (flaw.isPresent()) {
        at.reject(node, expected() + ": " + flaw.get());
        return null;
      }
      if (NearestName.distance(text.length() > 20 ? "" : text.replace('_', '-'), ALL) <= 2) {
        at.reject(node, expected() + " (did you mean '" + ALL + "'?)");
        return null;
      }
      return new Matching(text);
    }

    private static boolean listsAll(Node.Items items) {
      return items.items().stream()
          .anyMatch(i -> i instanceof Node.Scalar s && s.text().equals(ALL));
    }

    @Override
    public Object write(Object value) {
      if (value instanceof Named named) {
        return NAMES.write(named.names());
      }
      return value instanceof Matching matching ? YamlWriter.scalar(matching.regex()) : ALL;
    }

    @Override
    public String expected() {
      return "'all-linear', a list of module names or a regular expression";
    }
  }
}
