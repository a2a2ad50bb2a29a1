package ai.nibble.lora;

import ai.nibble.InvalidInputException;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;

/** Which modules are meant, in the three ways PEFT knows. */
public sealed interface TargetModules {
  /** No module, for {@code exclude_modules}. */
  TargetModules NONE = new Names(List.of());

  /**
   * Modules by name: an entry means the module of exactly that path and every module whose path
   * ends in a dot and the entry ({@code q_proj}, {@code self_attn.q_proj}).
   *
   * @param names without duplicates, in the order given
   */
  record Names(List<String> names) implements TargetModules {
    public Names {
      names = List.copyOf(new LinkedHashSet<>(names));
      if (names.contains("")) {
        throw new InvalidInputException(
            "target_modules: an entry is empty, expected a module's name such as 'q_proj'");
      }
    }
  }

  /**
   * Every module whose whole path matches.
   *
   * @param pattern in Python's syntax, as PEFT reads it
   */
  record Regex(String pattern) implements TargetModules {
    public Regex {
      PathPattern.compile("target_modules", pattern);
    }
  }

  /** Every linear module except the output head. */
  record AllLinear() implements TargetModules {}

  /** What keeps a text from being a {@link Regex}, in a few words; empty where nothing does. */
  static Optional<String> flawOf(String regex) {
    return PathPattern.flaw(regex, "", "");
  }

  /** What a string stands for: {@code all-linear} in any case, otherwise a regular expression. */
  static TargetModules ofString(String text) {
    return text.equalsIgnoreCase("all-linear") ? new AllLinear() : new Regex(text);
  }
}
