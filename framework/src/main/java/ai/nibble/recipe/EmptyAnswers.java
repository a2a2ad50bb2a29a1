package ai.nibble.recipe;

import ai.nibble.data.Example;
import ai.nibble.data.Tokenizer;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Whether rows teach anything but that a turn ends, as those with an empty answer do not. */
final class EmptyAnswers {
  private final Tokenizer tokenizer;
  private final Map<Integer, Boolean> says = new HashMap<>();

  private EmptyAnswers(Tokenizer tokenizer) {
    this.tokenizer = tokenizer;
  }

  /**
   * A line about the rows whose tokens with loss are all control tokens or blank; empty where no
   * row is so.
   */
  static Optional<String> warning(List<Example> train, Tokenizer tokenizer) {
    EmptyAnswers check = new EmptyAnswers(tokenizer);
    long count = 0;
    int first = 0;
    for (int i = 0; i < train.size(); i++) {
      if (!check.saysSomething(train.get(i))) {
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
                + train.size()
                + " rows to train on have empty answers (the first is row "
                + first
                + "): they teach nothing but to end the turn at once; look at the column that"
                + " answers are read from");
  }

  /** Mostly the first token with loss does. */
  private boolean saysSomething(Example row) {
    int[] ids = row.inputIds();
    int[] labels = row.labels();
    for (int i = 0; i < ids.length; i++) {
      if (labels[i] != Example.IGNORED && says.computeIfAbsent(ids[i], this::saysSomething)) {
        return true;
      }
    }
    return false;
  }

  private boolean saysSomething(int id) {
    return !tokenizer.isControl(id)
        && tokenizer.eosId().orElse(-1) != id
        && !tokenizer.decode(new int[] {id}, false).isBlank();
  }
}
