package ai.nibble.data;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;

/** The settings of a tokenizer's model, beside its vocabulary and merges. */
final class TokenizerModelCheck {
  private static final int MAX_AFFIX = 64;
  private static final int MAX_WORD = 1000;

  private TokenizerModelCheck() {}

  static void check(Path path, JsonNode model) {
    for (String affix : List.of("continuing_subword_prefix", "end_of_word_suffix")) {
      String text = model.path(affix).textValue();
      if (text != null && text.length() > MAX_AFFIX) {
        // the library joins it to every character
        throw new InvalidInputException(
            path
                + ": '"
                + affix
                + "' has "
                + text.length()
                + " characters, expected at most "
                + MAX_AFFIX);
      }
    }
    JsonNode word = model.path("max_input_chars_per_word");
    if (word.isNumber() && (!word.canConvertToInt() || word.asInt() > MAX_WORD)) {
      // the library looks up every part of a word
      throw new InvalidInputException(
          path
              + ": 'max_input_chars_per_word' is "
              + JsonFiles.shown(word)
              + ", expected at most "
              + MAX_WORD);
    }
    JsonNode dropout = model.path("dropout");
    boolean none = dropout.isMissingNode() || dropout.isNull();
    if (!none && !(dropout.isNumber() && dropout.asDouble() >= 0 && dropout.asDouble() <= 1)) {
      throw new InvalidInputException(
          path + ": 'dropout' is " + JsonFiles.shown(dropout) + ", expected null or from 0 to 1");
    }
  }

  /**
   * BPE dropout leaves merges out at random, in the library also where no one trains: the same text
   * would have other ids each time, and an answer to it no fixed prompt.
   */
  static Optional<String> notice(Path path, JsonNode model) {
    double dropout = model.path("dropout").asDouble(0);
    return dropout == 0
        ? Optional.empty()
        : Optional.of(
            path
                + ": 'dropout' is "
                + JsonFiles.shown(model.path("dropout"))
                + ", not followed: a text has the same tokens each time");
  }
}
