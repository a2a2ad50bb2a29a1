package ai.nibble.data.regex;

import ai.nibble.data.regex.RegexNode.Atomic;
import ai.nibble.data.regex.RegexNode.Choice;
import ai.nibble.data.regex.RegexNode.Letter;
import ai.nibble.data.regex.RegexNode.Look;
import ai.nibble.data.regex.RegexNode.Repeat;
import ai.nibble.data.regex.RegexNode.Sequence;
import java.util.List;

/**
 * Upper bounds on the failed attempts of a backtracking engine at one place of a text, where no
 * repetition can take more than {@code run} characters. Each failure is a character or a place that
 * does not match what is tried there, so that they are counted where they arise.
 *
 * <ul>
 *   <li>{@link #ways}: how often a part can be left anew, one way after the other. Of parts that
 *       stand in a row they multiply.
 *   <li>{@link #failures}: within a part that is entered once and left in all its ways.
 *   <li>{@link #refusal}: within a part that is entered once and matches in no way.
 *   <li>{@link #last}: within a part behind which all is matched: left once, it is not entered
 *       again. So the tail of a branch costs next to nothing where it {@link #cannotFail}.
 * </ul>
 *
 * <p>Of a branch {@code e1 … ek} only the parts up to the last one that can fail are entered again:
 * {@code [A-Z]*[a-z]+x?} fails at most once for each way of {@code [A-Z]*}, since one letter of
 * {@code [a-z]+} is enough for all that follows.
 */
final class RegexCost {
  private final double run;

  RegexCost(int run) {
    this.run = run;
  }

  /** Failures of a whole expression at one place, at most. */
  static double of(RegexNode whole, int run) {
    return new RegexCost(run).last(whole);
  }

  static boolean hasUnbounded(RegexNode node) {
    if (node instanceof Repeat repeat) {
      return repeat.isUnbounded() || hasUnbounded(repeat.body());
    } else if (node instanceof Sequence sequence) {
      return sequence.parts().stream().anyMatch(RegexCost::hasUnbounded);
    } else if (node instanceof Choice choice) {
      return choice.branches().stream().anyMatch(RegexCost::hasUnbounded);
    } else if (node instanceof Atomic atomic) {
      return hasUnbounded(atomic.body());
    }
    return node instanceof Look look && hasUnbounded(look.body());
  }

  static boolean cannotFail(RegexNode node) {
    if (node instanceof Repeat repeat) {
      return repeat.min() == 0 || cannotFail(repeat.body());
    } else if (node instanceof Sequence sequence) {
      return sequence.parts().stream().allMatch(RegexCost::cannotFail);
    } else if (node instanceof Choice choice) {
      return choice.branches().stream().anyMatch(RegexCost::cannotFail);
    }
    return node instanceof Atomic atomic && cannotFail(atomic.body());
  }

  /** The last part of a row that can fail; −1 where none can. */
  static int lastThatCanFail(List<RegexNode> parts) {
    int last = parts.size() - 1;
    while (last >= 0 && cannotFail(parts.get(last))) {
      last--;
    }
    return last;
  }

  private double ways(RegexNode node) {
    if (node instanceof Letter letter) {
      return letter.caseless() ? 2 : 1;
    } else if (node instanceof Sequence sequence) {
      return sequence.parts().stream().mapToDouble(this::ways).reduce(1, (a, b) -> a * b);
    } else if (node instanceof Choice choice) {
      return choice.branches().stream().mapToDouble(this::ways).sum();
    } else if (node instanceof Repeat repeat) {
      return repeat.possessive() ? 1 : powers(ways(repeat.body()), repeat.min(), times(repeat) + 1);
    } else if (node instanceof Look look && !look.negative()) {
      return ways(look.body());
    }
    return 1;
  }

  private double failures(RegexNode node) {
    if (node instanceof Sequence sequence) {
      return row(sequence.parts(), sequence.parts().size());
    } else if (node instanceof Choice choice) {
      return choice.branches().stream().mapToDouble(this::failures).sum();
    } else if (node instanceof Repeat repeat) {
      boolean letters = repeat.body() instanceof Letter;
      double entries = powers(ways(repeat.body()), 0, times(repeat));
      return letters && ways(repeat.body()) == 1 ? 1 : entries * failures(repeat.body()) + 1;
    } else if (node instanceof Atomic atomic) {
      return failures(atomic.body()) + 1;
    } else if (node instanceof Look look) {
      return look.body() instanceof Letter ? 1 : failures(look.body()) + 1;
    }
    return 1;
  }

  /** Failures within the first parts of a row, each entered in all ways of those before. */
  private double row(List<RegexNode> parts, int count) {
    double entries = 1;
    double failures = 0;
    for (RegexNode part : parts.subList(0, count)) {
      failures += entries * failures(part);
      entries *= ways(part);
    }
    return failures;
  }

  private double refusal(RegexNode node) {
    if (cannotFail(node)) {
      return 0;
    } else if (node instanceof Sequence sequence) {
      return rowAndRefusal(sequence.parts(), lastThatCanFail(sequence.parts()));
    } else if (node instanceof Choice choice) {
      return choice.branches().stream().mapToDouble(this::refusal).sum();
    } else if (node instanceof Repeat repeat) {
      double ways = ways(repeat.body());
      if (repeat.body() instanceof Letter && ways == 1) {
        return 1;
      }
      int before = repeat.min() - 1;
      return powers(ways, 0, before) * failures(repeat.body())
          + Math.pow(ways, before) * refusal(repeat.body());
    }
    return failures(node);
  }

  private double rowAndRefusal(List<RegexNode> parts, int last) {
    double entries =
        parts.subList(0, last).stream().mapToDouble(this::ways).reduce(1, (a, b) -> a * b);
    return row(parts, last) + entries * refusal(parts.get(last));
  }

  private double last(RegexNode node) {
    if (node instanceof Sequence sequence) {
      List<RegexNode> parts = sequence.parts();
      int fallible = lastThatCanFail(parts);
      double tail = 0;
      for (RegexNode part : parts.subList(Math.max(fallible, 0), parts.size())) {
        tail += last(part);
      }
      return tail + (fallible < 0 ? 0 : rowAndRefusal(parts, fallible));
    } else if (node instanceof Choice choice) {
      return choice.branches().stream().mapToDouble(this::last).sum();
    } else if (node instanceof Repeat repeat) {
      if (repeat.body() instanceof Letter) {
        return 1;
      }
      return refusal(repeat) + times(repeat) * last(repeat.body()) + 1;
    }
    return failures(node);
  }

  /** The most rounds that a run allows; at least those that must be. */
  private double times(Repeat repeat) {
    return Math.max(repeat.min(), Math.min(repeat.max(), run));
  }

  /** {@code ways^from + … + ways^(to−1)}. */
  private static double powers(double ways, double from, double to) {
    if (to <= from) {
      return 0;
    }
    return ways == 1 ? to - from : (Math.pow(ways, to) - Math.pow(ways, from)) / (ways - 1);
  }
}
