package ai.nibble.data;

import ai.nibble.InvalidInputException;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * What a tokenizer gets besides what it has.
 *
 * @param tokens texts that become one token each
 * @param additional the same as control tokens: left out of decoded answers, and plain text where a
 *     message spells them
 * @param roles the token of a role ({@code bos_token}, {@code eos_token}, {@code pad_token}, {@code
 *     unk_token}): one that there is or a new control token
 */
public record NewTokens(List<String> tokens, List<String> additional, Map<String, String> roles) {
  /** Nothing. */
  public static final NewTokens NONE = new NewTokens(List.of(), List.of(), Map.of());

  private static final Set<String> ROLES =
      Set.of("bos_token", "eos_token", "pad_token", "unk_token");

  /**
   * @throws InvalidInputException with a line for each text that cannot be, the key first
   */
  public NewTokens {
    tokens = List.copyOf(tokens);
    additional = List.copyOf(additional);
    roles = new TreeMap<>(roles);
    List<String> problems = new ArrayList<>();
    Set<String> seen = new HashSet<>();
    for (List<String> list : List.of(tokens, additional)) {
      String key = list == tokens ? "tokens" : "additional_special_tokens";
      for (String token : list) {
        if (token.isBlank()) {
          problems.add(key + ": '" + token + "' is blank, expected a text");
        } else if (!seen.add(token)) {
          problems.add(key + ": '" + token + "' stands twice, expected each token once");
        }
      }
    }
    roles.forEach(
        (role, text) -> {
          if (!ROLES.contains(role)) {
            problems.add(
                "special_tokens: '"
                    + role
                    + "' is no role, expected one of "
                    + ROLES.stream().sorted().toList());
          } else if (text.isBlank()) {
            problems.add("special_tokens: '" + role + "' is blank, expected a text");
          }
        });
    if (!problems.isEmpty()) {
      throw new InvalidInputException(problems);
    }
  }

  public boolean isEmpty() {
    return tokens.isEmpty() && additional.isEmpty() && roles.isEmpty();
  }
}
