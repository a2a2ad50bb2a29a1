package ai.nibble.recipe;

import ai.nibble.data.Example;
import ai.nibble.data.Tokenizer;
import ai.nibble.generate.TextStream;
import java.util.ArrayList;
import java.util.List;

/**
 * A token of a row as people read it.
 *
 * @param id the token
 * @param text what it writes; empty where a character's bytes are spread over tokens and this is
 *     not the last of them
 * @param trained whether it carries loss
 * @param control whether it is a control token
 */
public record TokenText(int id, String text, boolean trained, boolean control) {
  /** The tokens of a row; their texts joined are the row's text. */
  static List<TokenText> of(Tokenizer tokenizer, Example row) {
    List<TokenText> tokens = new ArrayList<>();
    TextStream stream = new TextStream(tokenizer);
    for (int t = 0; t < row.length(); t++) {
      int id = row.inputIds()[t];
      boolean control = tokenizer.isControl(id);
      String text =
          control ? stream.end() + tokenizer.decode(new int[] {id}, false) : stream.accept(id);
      text += t + 1 == row.length() ? stream.end() : "";
      // nothing comes before the first token, so it is never predicted
      boolean trained = t > 0 && row.labels()[t] != Example.IGNORED;
      tokens.add(new TokenText(id, text, trained, control));
    }
    return tokens;
  }
}
