package ai.nibble.recipe;

import ai.nibble.lora.TargetModules;
import java.util.List;
import java.util.Optional;

/**
 * Which linear modules get an adapter ({@code lora_target_modules}): {@code all-linear}, a list of
 * names, or a single text, which is a regular expression in Python's syntax over whole paths.
 *
 * @param takesAll whether {@code all-linear} is meant to be written
 */
record TargetModulesType(boolean takesAll) implements ValueType {
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
          : new TargetModules.Names(((List<?>) names).stream().map(String.class::cast).toList());
    }
    String text = ScalarTypes.text(node, this, at);
    if (text == null || text.equals(ALL)) {
      return text == null ? null : new TargetModules.AllLinear();
    }
    Optional<String> flaw = TargetModules.flawOf(text);
    if (flaw.isPresent()) {
      at.reject(node, expected() + ": " + Problems.shown(flaw.get()));
      return null;
    }
    if (takesAll
        && NearestName.distance(text.length() > 20 ? "" : text.replace('_', '-'), ALL) <= 2) {
      at.reject(node, expected() + " (did you mean '" + ALL + "'?)");
      return null;
    }
    return new TargetModules.Regex(text);
  }

  private static boolean listsAll(Node.Items items) {
    return items.items().stream().anyMatch(i -> i instanceof Node.Scalar s && s.text().equals(ALL));
  }

  @Override
  public Object write(Object value) {
    if (value instanceof TargetModules.Names named) {
      return NAMES.write(named.names());
    }
    return value instanceof TargetModules.Regex regex ? YamlWriter.scalar(regex.pattern()) : ALL;
  }

  @Override
  public String expected() {
    return (takesAll ? "'all-linear', " : "") + "a list of module names or a regular expression";
  }
}
