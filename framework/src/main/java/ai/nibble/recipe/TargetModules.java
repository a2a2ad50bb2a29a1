package ai.nibble.recipe;

import java.util.List;
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

  /** Reads and writes the three forms. */
  record Type() implements ValueType {
    private static final String ALL = "all-linear";
    private static final ValueType NAMES = new GroupTypes.ListOf(new ScalarTypes.Text(), 1);

    @Override
    public Object read(Node node, Reading at) {
      if (node instanceof Node.Items) {
        Object names = NAMES.read(node, at);
        return names == null
            ? null
            : new Named(((List<?>) names).stream().map(String.class::cast).toList());
      }
      String text = ScalarTypes.text(node, this, at);
      if (text == null || text.equals(ALL)) {
        return text == null ? null : new AllLinear();
      }
      try {
        Pattern.compile(text);
      } catch (PatternSyntaxException e) {
        at.reject(node, expected() + ": " + Problems.shown(e.getDescription()));
        return null;
      }
      if (NearestName.distance(text.length() > 20 ? "" : text.replace('_', '-'), ALL) <= 2) {
        at.reject(node, expected() + " (did you mean '" + ALL + "'?)");
        return null;
      }
      return new Matching(text);
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
