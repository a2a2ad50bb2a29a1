package ai.nibble.recipe;

import ai.nibble.data.Example;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/** Whether rows that are evaluated on are trained on too: their loss would say little. */
final class OverlapCheck {
  private OverlapCheck() {}

  /** A line about those that are, to the token; empty where none is. */
  static Optional<String> warning(List<Example> train, List<Example> eval) {
    Set<Long> evaluated = new HashSet<>();
    eval.forEach(row -> evaluated.add(sum(row.inputIds())));
    Set<Long> both = new HashSet<>();
    for (int i = 0; i < train.size() && !evaluated.isEmpty(); i++) {
      long sum = sum(train.get(i).inputIds());
      if (evaluated.contains(sum)) {
        both.add(sum);
      }
    }
    long count = 0;
    int first = 0;
    for (int i = 0; i < eval.size() && !both.isEmpty(); i++) {
      if (both.contains(sum(eval.get(i).inputIds()))) {
        first = count == 0 ? i + 1 : first;
        count++;
      }
    }
    return count == 0
        ? Optional.empty()
        : Optional.of(
            "warning: "
                + count
                + " of "
                + eval.size()
                + " evaluation rows are also trained on (the first is row "
                + first
                + "): their loss says little; remove them from one side");
  }

  /**
   * 64 bits of FNV-1a over whole ids, stirred: of a billion rows two would agree by accident once.
   */
  private static long sum(int[] ids) {
    long sum = 0xcbf29ce484222325L;
    for (int id : ids) {
      sum = (sum ^ id) * 0x100000001b3L;
      sum ^= sum >>> 29;
    }
    return sum;
  }
}
