package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import java.util.List;

/**
 * Linears that are left as they are where the others are quantised.
 *
 * @param names runs of names in a linear's path, such as {@code down_proj} or {@code layers.0.mlp}
 */
public record SkipModules(List<String> names) {
  /** No linear. */
  public static final SkipModules NONE = new SkipModules(List.of());

  public SkipModules {
    names = List.copyOf(names);
  }

  /**
   * Whether a linear is among them.
   *
   * @param module its path, {@code model.layers.0.self_attn.q_proj}
   */
  public boolean contains(String module) {
    return names.stream().anyMatch(name -> means(name, module));
  }

  private static boolean means(String name, String module) {
    return ("." + module + ".").contains("." + name + ".");
  }

  /**
   * Checks that every name means a linear. The output head, which is never quantised, may be named
   * all the same, as in transformers.
   *
   * @param linears paths of all linears
   * @throws InvalidInputException with the name that means none
   */
  public void requireAmong(List<String> linears) {
    for (String name : names) {
      if (!name.equals("lm_head") && linears.stream().noneMatch(path -> means(name, path))) {
        throw new InvalidInputException(
            "llm_int8_skip_modules: no module is named '"
                + name
                + "', expected names such as down_proj or layers.0");
      }
    }
  }

  /** For a description of how the others are held: nothing, or {@code , without [down_proj]}. */
  @Override
  public String toString() {
    return names.isEmpty() ? "" : ", without " + names;
  }
}
