package ai.nibble.generate;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Tokenizer;
import java.util.List;

/**
 * Texts that end an answer before them.
 *
 * @param strings none empty; may be none
 */
public record StopStrings(List<String> strings) {
  public static final StopStrings NONE = new StopStrings(List.of());

  /**
   * @throws InvalidInputException if one is empty
   */
  public StopStrings {
    strings = List.copyOf(strings);
    if (strings.stream().anyMatch(String::isEmpty)) {
      throw new InvalidInputException("a stop string is empty, expected at least one character");
    }
  }

  /** Where the first of them begins in a text; −1 where none is. */
  int find(CharSequence text) {
    String all = text.toString();
    return strings.stream().mapToInt(all::indexOf).filter(at -> at >= 0).min().orElse(-1);
  }

  /** Characters at the end of a text that one of them may begin with. */
  int begun(CharSequence text) {
    int longest = 0;
    for (String stop : strings) {
      for (int n = Math.min(stop.length() - 1, text.length()); n > longest; n--) {
        CharSequence end = text.subSequence(text.length() - n, text.length());
        if (stop.startsWith(end.toString())) {
          longest = n;
        }
      }
    }
    return longest;
  }

  /** Ends an answer with the token that completes one of them. */
  public StopRule rule(Tokenizer tokenizer) {
    if (strings.isEmpty()) {
      return StopRule.NEVER;
    }
    return () -> {
      AnswerText text = new AnswerText(tokenizer, this);
      return token -> {
        text.accept(token);
        return text.isStopped();
      };
    };
  }
}
