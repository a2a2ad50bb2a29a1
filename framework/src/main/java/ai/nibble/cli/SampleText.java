package ai.nibble.cli;

import ai.nibble.recipe.TokenText;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;

/**
 * Rows as the model sees them: what carries loss in green or in brackets, control tokens as they
 * are written, the ends of lines as {@code ↵}. What a terminal would obey is shown instead.
 */
final class SampleText {
  static final String OPEN = "⟦";
  static final String CLOSE = "⟧";

  private static final String RESET = "\u001b[0m";
  private static final String TRAINED = "\u001b[32m";
  private static final String TRAINED_CONTROL = "\u001b[1;32m";
  private static final String CONTROL = "\u001b[35m";
  private static final String CONTEXT = "\u001b[2m";

  /** The first of Unicode's pictures of control characters. */
  private static final int PICTURES = 0x2400;

  private static final int DELETE = 0x7f;

  private final PrintWriter out;
  private final boolean colours;

  SampleText(PrintWriter out, boolean colours) {
    this.out = out;
    this.colours = colours;
  }

  /**
   * @param pairs whether two and two are of one row: the chosen sequence and the rejected one
   */
  void print(List<List<TokenText>> rows, boolean pairs) {
    for (int i = 0; i < rows.size(); i++) {
      List<TokenText> row = rows.get(i);
      long trained = row.stream().filter(TokenText::trained).count();
      String legend = colours ? TRAINED + "these" + RESET : OPEN + "these" + CLOSE;
      out.printf(
          Locale.ROOT,
          "%nrow %s: %,d tokens, %,d carry loss, %s%n",
          pairs ? (i / 2 + 1) + (i % 2 == 0 ? ", chosen" : ", rejected") : i + 1,
          row.size(),
          trained,
          legend);
      String text = text(row);
      out.print(text.endsWith("\n") ? text : text + System.lineSeparator());
    }
  }

  private String text(List<TokenText> row) {
    StringBuilder text = new StringBuilder();
    String before = "";
    for (TokenText token : row) {
      String style = style(token);
      if (!style.equals(before)) {
        text.append(close(before)).append(style);
      }
      text.append(shown(token.text()));
      before = style;
    }
    return text.append(close(before)).toString();
  }

  /** What tells a token from its neighbours; in brackets only whether it carries loss. */
  private String style(TokenText token) {
    if (!colours) {
      return token.trained() ? OPEN : "";
    }
    if (token.trained()) {
      return token.control() ? TRAINED_CONTROL : TRAINED;
    }
    return token.control() ? CONTROL : CONTEXT;
  }

  private String close(String style) {
    return style.isEmpty() ? "" : colours ? RESET : CLOSE;
  }

  /** Text in which nothing commands a terminal; a line's end is marked. */
  static String shown(String text) {
    StringBuilder shown = new StringBuilder();
    text.codePoints()
        .forEach(
            c -> {
              if (c == '\n') {
                shown.append("↵\n");
              } else if (c < ' ' && c != '\t') {
                shown.appendCodePoint(PICTURES + c);
              } else if (Character.isISOControl(c) && c != '\t') {
                shown.append(c == DELETE ? "␡" : "\uFFFD");
              } else {
                shown.appendCodePoint(c);
              }
            });
    return shown.toString();
  }
}
