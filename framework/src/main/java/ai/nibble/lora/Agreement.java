package ai.nibble.lora;

import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/**
 * Whether an adapter that was saved is one that a configuration would make, so as to go on with.
 */
public final class Agreement {
  private Agreement() {}

  /**
   * What the two differ in, a line each; dropout, which the saved matrices know nothing of, and how
   * they began do not count.
   *
   * @param saved of the adapter
   * @param wanted of what shall be trained
   * @param modules paths of the base's modules that may be adapted
   */
  public static List<String> differences(
      LoraConfig saved, LoraConfig wanted, Collection<String> modules) {
    List<String> differences = new ArrayList<>();
    if (saved.extras().useDora() != wanted.extras().useDora()) {
      differences.add(
          "use_dora is "
              + saved.extras().useDora()
              + " there and "
              + wanted.extras().useDora()
              + " here");
    }
    List<String> whole = WholeModules.of(saved);
    if (!whole.equals(WholeModules.of(wanted))) {
      differences.add(
          "modules_to_save are " + whole + " there and " + WholeModules.of(wanted) + " here");
    }
    if (!saved.extras().trainableTokens().equals(wanted.extras().trainableTokens())) {
      differences.add(
          "tokens whose rows are trained are "
              + saved.extras().trainableTokens().byName()
              + " there and "
              + wanted.extras().trainableTokens().byName()
              + " here");
    }
    TargetMatcher matcher = new TargetMatcher(saved);
    List<String> there =
        modules.stream()
            .filter(path -> matcher.targets(path) && !saved.extras().saves(path))
            .toList();
    List<String> here = new TargetMatcher(wanted).select(modules);
    if (!there.equals(here)) {
      differences.add(targets(there, here));
    }
    for (String path : here) {
      if (there.contains(path)
          && (saved.rankOf(path) != wanted.rankOf(path)
              || saved.scaling(path) != wanted.scaling(path))) {
        differences.add(
            "'"
                + path
                + "' has rank "
                + saved.rankOf(path)
                + " and a scaling of "
                + saved.scaling(path)
                + " there, rank "
                + wanted.rankOf(path)
                + " and "
                + wanted.scaling(path)
                + " here");
        break; // the others differ by the same settings
      }
    }
    return differences;
  }

  private static String targets(List<String> there, List<String> here) {
    String example =
        there.stream()
            .filter(path -> !here.contains(path))
            .findFirst()
            .map(path -> "'" + path + "' only there")
            .or(
                () ->
                    here.stream()
                        .filter(path -> !there.contains(path))
                        .findFirst()
                        .map(path -> "'" + path + "' only here"))
            .orElse("in another order");
    return "target_modules are "
        + there.size()
        + " modules there and "
        + here.size()
        + " here, "
        + example;
  }
}
