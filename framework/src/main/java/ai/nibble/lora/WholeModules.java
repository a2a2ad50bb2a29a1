package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterNames.Kind;
import ai.nibble.model.CausalLm;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;

/**
 * The modules that are trained whole beside A and B, PEFT's {@code modules_to_save}: the embedding
 * and the output head. As in PEFT each is a copy of its own, float32, also where the base ties the
 * two.
 */
public final class WholeModules {
  private static final List<String> ALL = List.of(CausalLm.EMBEDDING, CausalLm.HEAD);

  /** Values that fit into one flat float32 buffer of Java's. */
  private static final long MOST_VALUES = Integer.MAX_VALUE / Float.BYTES;

  private WholeModules() {}

  /**
   * Paths of the modules that a configuration trains whole.
   *
   * @throws InvalidInputException if it names another
   */
  public static List<String> of(LoraConfig config) {
    for (String name : config.extras().modulesToSave()) {
      if (ALL.stream().noneMatch(path -> path.equals(name) || path.endsWith("." + name))) {
        throw new InvalidInputException(
            "modules_to_save: '"
                + name
                + "' is not supported yet, expected embed_tokens, lm_head or both: leave it out, or"
                + " train all weights (adapter: none)");
      }
    }
    return ALL.stream().filter(config.extras()::saves).toList();
  }

  /** The name that PEFT saves the module's weight under. */
  static String name(String path) {
    return AdapterNames.name(path, Kind.WEIGHT);
  }

  /**
   * Checks that all that is trained fits into one buffer.
   *
   * @throws InvalidInputException if it does not
   */
  public static void requireFit(Collection<long[]> shapes) {
    long values = shapes.stream().mapToLong(s -> Arrays.stream(s).reduce(1, (a, b) -> a * b)).sum();
    if (values > MOST_VALUES) {
      throw new InvalidInputException(
          "modules_to_save: with them "
              + values
              + " values are trained, expected at most "
              + MOST_VALUES
              + ": train one of embed_tokens and lm_head, or neither");
    }
  }
}
