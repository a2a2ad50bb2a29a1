package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.model.CausalLm;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;

/**
 * What adapters on the embedding and the output head cannot be. As in PEFT each is by itself, also
 * where the base ties the two: an adapter on the embedding leaves the head as it is, and one on the
 * head the embedding.
 */
public final class AdaptedTables {
  private AdaptedTables() {}

  /**
   * For the end of a message about shapes that differ: that the vocabulary does; empty where it is
   * something else.
   *
   * @param module that the tensor is of
   */
  static String otherVocabulary(String module, long[] stored, long[] expected) {
    boolean other = isTable(module) && stored.length == 2 && expected.length == 2;
    for (int dim = 0; dim < 2 && other; dim++) {
      if (stored[dim] != expected[dim] && stored[1 - dim] == expected[1 - dim]) {
        return ": it is of a vocabulary of "
            + stored[dim]
            + " tokens, this base has "
            + expected[dim]
            + "; where another adapter adds tokens, use this one without it";
      }
    }
    return "";
  }

  /** Whether a module is the embedding or the head, which {@code all-linear} does not mean. */
  static boolean isTable(String path) {
    return path.equals(CausalLm.EMBEDDING) || path.equals(CausalLm.HEAD);
  }

  /**
   * Checks a configuration for what such adapters are not.
   *
   * @throws InvalidInputException with a line for each setting in the way
   */
  static void require(LoraConfig config, Collection<String> adapted) {
    List<String> problems = problems(config, adapted);
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  /**
   * A line for each setting in the way, the setting's name first.
   *
   * @param adapted paths of the modules that carry adapters
   */
  public static List<String> problems(LoraConfig config, Collection<String> adapted) {
    List<String> tables = adapted.stream().filter(AdaptedTables::isTable).toList();
    List<String> problems = new ArrayList<>();
    for (String path : config.extras().trainableTokens().ids().keySet()) {
      if (tables.contains(path) || config.extras().saves(path)) {
        problems.add(
            "trainable_token_indices: '"
                + path
                + "' is in "
                + (tables.contains(path) ? "target_modules" : "modules_to_save")
                + " too: take it out of one of them");
      }
    }
    if (tables.isEmpty()) {
      return problems;
    }
    String out = ": leave them out of target_modules";
    if (config.extras().useDora()) {
      problems.add("use_dora: DoRA on " + tables + " is not supported yet" + out);
    }
    InitLoraWeights how = config.initLoraWeights();
    if (how.isSubtracted() || how.kind() == InitLoraWeights.Kind.LOFTQ) {
      problems.add(
          "init_lora_weights: '" + how.text() + "' on " + tables + " is not supported" + out);
    }
    for (String path : tables) {
      if (config.extras().saves(path)) {
        problems.add(
            "modules_to_save: '"
                + path
                + "' is trained whole and is in target_modules too: take it out of one of them");
      }
    }
    return problems;
  }
}
