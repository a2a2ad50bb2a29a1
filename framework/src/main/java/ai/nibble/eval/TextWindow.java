package ai.nibble.eval;

import java.util.ArrayList;
import java.util.List;

/**
 * A piece of a long text that is computed by itself.
 *
 * @param begin its first token
 * @param countedFrom the first token whose loss counts: what lies before is context alone
 * @param end behind its last token
 */
record TextWindow(int begin, int countedFrom, int end) {

  /** Tokens whose loss counts. */
  int counted() {
    return end - countedFrom;
  }

  /**
   * Cuts a text. Windows begin {@code stride} tokens apart; each counts what no earlier one counted
   * and what it has a token before. With {@code stride < window} every token but the text's first
   * counts exactly once; with {@code stride == window} the windows do not overlap, and the first
   * token of each, which nothing in it predicts, does not count. The last window may be shorter.
   *
   * @param tokens of the text
   * @param window most tokens of a window, at least 2
   * @param stride 1 to window
   */
  static List<TextWindow> cut(int tokens, int window, int stride) {
    if (window < 2 || stride < 1 || stride > window) {
      throw new IllegalArgumentException("windows of " + window + " tokens, " + stride + " apart");
    }
    List<TextWindow> windows = new ArrayList<>();
    int counted = 0;
    int end = 0;
    for (int begin = 0; end < tokens; begin += stride) {
      end = Math.min(tokens, begin + window);
      int from = Math.max(counted, begin + 1);
      if (from < end) {
        windows.add(new TextWindow(begin, from, end));
      }
      counted = end;
    }
    return windows;
  }
}
