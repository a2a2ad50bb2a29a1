package ai.nibble.recipe;

import ai.nibble.data.Example;
import ai.nibble.eval.Question;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.IntStream;

/** Whether rows that are evaluated on are trained on too: their loss would say little. */
final class OverlapCheck {
  private static final long BASIS = 0xcbf29ce484222325L;

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
   * A line about questions that rows begin with, as those do that are answered in training; empty
   * where none is.
   */
  static Optional<String> warningOfQuestions(List<Example> train, List<Question> questions) {
    Set<Long> asked = new HashSet<>();
    questions.forEach(question -> asked.add(sum(question.prompt())));
    Set<Long> both = new HashSet<>();
    for (Example row : train) {
      long sum = BASIS;
      for (int id : row.inputIds()) {
        sum = next(sum, id);
        if (asked.contains(sum)) {
          both.add(sum);
        }
      }
    }
    List<Integer> trained =
        IntStream.range(0, questions.size())
            .filter(i -> both.contains(sum(questions.get(i).prompt())))
            .boxed()
            .toList();
    return trained.isEmpty()
        ? Optional.empty()
        : Optional.of(
            "warning: "
                + trained.size()
                + " of "
                + questions.size()
                + " questions of generation_eval are also trained on (the first is row "
                + (trained.get(0) + 1)
                + "): right answers to them say little; remove them from one side");
  }

  /**
   * 64 bits of FNV-1a over whole ids, stirred: of a billion rows two would agree by accident once.
   */
  private static long sum(int[] ids) {
    long sum = BASIS;
    for (int id : ids) {
      sum = next(sum, id);
    }
    return sum;
  }

  private static long next(long sum, int id) {
    long next = (sum ^ id) * 0x100000001b3L;
    return next ^ next >>> 29;
  }
}
