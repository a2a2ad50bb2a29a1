package ai.nibble.data.bpe;

import ai.nibble.InvalidInputException;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What stands beside a vocabulary in a tokenizer's files.
 *
 * @param pattern that the vocabulary was trained with
 * @param roles special tokens by their names in {@code tokenizer_config.json}: {@code bos_token},
 *     {@code eos_token}, {@code pad_token}
 * @param chatTemplate Jinja text
 */
public record TokenizerSettings(
    SplitPattern pattern, Map<String, String> roles, Optional<String> chatTemplate) {

  /** The roles there are, in the order they are written. */
  public static final List<String> ROLES = List.of("bos_token", "eos_token", "pad_token");

  /**
   * @throws InvalidInputException where a role is not one of {@link #ROLES}
   */
  public TokenizerSettings {
    roles = Map.copyOf(roles);
    for (String role : roles.keySet()) {
      if (!ROLES.contains(role)) {
        throw new InvalidInputException("role '" + role + "', expected one of " + ROLES);
      }
    }
  }

  /**
   * Checks that every role is a special token's.
   *
   * @throws InvalidInputException with a line for each that is not
   */
  public void requireSpecial(List<String> special) {
    List<String> problems =
        ROLES.stream()
            .filter(role -> roles.containsKey(role) && !special.contains(roles.get(role)))
            .map(
                role ->
                    role
                        + " is '"
                        + roles.get(role)
                        + "', expected one of the special tokens "
                        + special)
            .toList();
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }
}
