package ai.nibble.recipe;

import ai.nibble.data.NewTokens;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Tokens that the base's tokenizer does not have. */
public record Vocabulary(
    @Key(
            value = "tokens",
            byDefault = "[]",
            doc =
                "New tokens: each text becomes one token. Rows that the base has to spare are taken"
                    + " as they are; where it has none, embedding and head grow by rows that begin"
                    + " as the mean of the others")
        List<String> tokens,
    @Key(
            value = "additional_special_tokens",
            byDefault = "[]",
            doc = "The same as control tokens, which answers are shown without")
        List<String> additionalSpecialTokens,
    @Key(
            value = "special_tokens",
            byDefault = "{}",
            doc =
                "Tokens of roles (`bos_token`, `eos_token`, `pad_token`, `unk_token`): others that"
                    + " there are, or new ones")
        Map<String, String> specialTokens) {

  /** Copies. */
  public Vocabulary {
    tokens = List.copyOf(tokens);
    additionalSpecialTokens = List.copyOf(additionalSpecialTokens);
    specialTokens = Collections.unmodifiableMap(new LinkedHashMap<>(specialTokens));
  }

  /** What the tokenizer gets. */
  NewTokens newTokens() {
    return new NewTokens(tokens, additionalSpecialTokens, specialTokens);
  }

  boolean isEmpty() {
    return tokens.isEmpty() && additionalSpecialTokens.isEmpty() && specialTokens.isEmpty();
  }
}
