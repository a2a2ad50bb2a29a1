package ai.nibble.data;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Refuses patterns that can backtrack without end. The native library's regex engine gives up after
 * a number of steps and ends the process with it, so a pattern must not come near that: no repeated
 * group that itself repeats or chooses, no back-references, no long rows of repetitions.
 *
 * <p>The patterns of published tokenizers are flat alternations of character classes and pass.
 */
final class RegexCheck {
  private static final int MAX_LENGTH = 20_000;
  private static final int MAX_DEPTH = 32;
  // The longest published branches repeat four times.
  private static final int MAX_REPEATS_A_BRANCH = 8;
  // {1,3} on a group is harmless; {1,99} is as bad as +.
  private static final int LARGEST_SMALL_COUNT = 4;

  // Small counts of nested groups multiply: ((a|b){4}){4} is harmless, a third such level is not.
  private static final int LARGEST_PRODUCT = 16;

  private static final class Group {
    private boolean varies;
    private int repeats;
    private int product = 1;
  }

  private final String pattern;
  private int at;

  private RegexCheck(String pattern) {
    this.pattern = pattern;
  }

  /** What is wrong with it, or null. */
  static String problem(String pattern) {
    if (pattern.length() > MAX_LENGTH) {
      return "has " + pattern.length() + " characters, expected at most " + MAX_LENGTH;
    }
    return new RegexCheck(pattern).run();
  }

  private String run() {
    Deque<Group> open = new ArrayDeque<>();
    open.push(new Group());
    while (at < pattern.length()) {
      char c = pattern.charAt(at++);
      Group closed = null;
      if (c == '\\') {
        char escaped = at < pattern.length() ? pattern.charAt(at) : '\\';
        if (escaped >= '1' && escaped <= '9' || escaped == 'k' || escaped == 'g') {
          return "refers back to a group, which can take without end";
        }
        skipEscape();
      } else if (c == '[') {
        skipClass();
      } else if (c == '(') {
        open.push(new Group());
        skipGroupHead();
        if (open.size() > MAX_DEPTH) {
          return "nests groups deeper than " + MAX_DEPTH;
        }
        continue;
      } else if (c == '|') {
        open.peek().varies = true;
        open.peek().repeats = 0;
        continue;
      } else if (c == ')') {
        if (open.size() == 1) {
          return "closes a group that is not open";
        }
        closed = open.pop();
        open.peek().varies |= closed.varies;
      }
      int most = quantifier();
      int product = closed == null ? 1 : closed.product;
      if (most == 1) {
        open.peek().product = Math.max(open.peek().product, product);
        continue;
      }
      if (closed != null && closed.varies && most > LARGEST_SMALL_COUNT) {
        return "repeats a group that itself repeats or chooses, which can take without end";
      }
      if (closed != null && closed.varies && most <= LARGEST_SMALL_COUNT) {
        product *= most;
        if (product > LARGEST_PRODUCT) {
          return "repeats groups in groups, which can take without end";
        }
      }
      open.peek().product = Math.max(open.peek().product, product);
      open.peek().varies = true;
      if (++open.peek().repeats > MAX_REPEATS_A_BRANCH) {
        return "has more than " + MAX_REPEATS_A_BRANCH + " repetitions in a row";
      }
    }
    return null;
  }

  private void skipEscape() {
    boolean property = at + 1 < pattern.length() && "pPx".indexOf(pattern.charAt(at)) >= 0;
    at++;
    if (property && pattern.charAt(at) == '{') {
      int end = pattern.indexOf('}', at);
      at = end < 0 ? pattern.length() : end + 1;
    }
  }

  private void skipClass() {
    int depth = 1;
    if (at < pattern.length() && pattern.charAt(at) == '^') {
      at++;
    }
    if (at < pattern.length() && pattern.charAt(at) == ']') {
      at++;
    }
    while (at < pattern.length() && depth > 0) {
      char c = pattern.charAt(at++);
      if (c == '\\') {
        at++;
      } else if (c == '[') {
        depth++;
      } else if (c == ']') {
        depth--;
      }
    }
  }

  /** {@code ?:}, {@code ?=}, {@code ?!}, {@code ?i:} and the like. */
  private void skipGroupHead() {
    if (at < pattern.length() && pattern.charAt(at) == '?') {
      at++;
      while (at < pattern.length() && "imx-<".indexOf(pattern.charAt(at)) >= 0) {
        at++;
      }
      if (at < pattern.length() && ":=!>".indexOf(pattern.charAt(at)) >= 0) {
        at++;
      }
    }
  }

  /** The most repeats that the quantifier here allows; 1 without one. */
  private int quantifier() {
    int most = 1;
    while (at < pattern.length()) {
      char c = pattern.charAt(at);
      if (c == '*' || c == '+') {
        // A + behind another quantifier makes it possessive: it never backtracks, yet never mind.
        most = Integer.MAX_VALUE;
        at++;
      } else if (c == '?') {
        most = Math.max(most, 2);
        at++;
      } else if (c == '{' && pattern.indexOf('}', at) > 0) {
        int end = pattern.indexOf('}', at);
        most = Math.max(most, upper(pattern.substring(at + 1, end)));
        at = end + 1;
      } else {
        break;
      }
    }
    return most;
  }

  private static int upper(String counts) {
    String[] parts = counts.split(",", -1);
    String last = parts[parts.length - 1].trim();
    boolean number =
        !last.isEmpty() && last.length() < 6 && last.chars().allMatch(Character::isDigit);
    return number ? Math.max(1, Integer.parseInt(last)) : Integer.MAX_VALUE;
  }
}
