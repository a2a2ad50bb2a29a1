package ai.nibble.generate;

import java.util.BitSet;
import java.util.HashMap;
import java.util.Map;

/** Changes to logits by what the sequence holds already. */
record Penalties(SamplingConfig config) {

  /**
   * Applies them.
   *
   * @param scores {@code [vocabulary]}, changed in place
   */
  void apply(float[] scores, TokenHistory history) {
    if (config.repetitionPenalty() != 1) {
      penaliseRepetition(scores, history);
    }
    if (config.presencePenalty() != 0 || config.frequencyPenalty() != 0) {
      penaliseTheAnswersTokens(scores, history);
    }
    if (config.noRepeatNgramSize() > 0) {
      banNgrams(scores, history, config.noRepeatNgramSize());
    }
  }

  /** Once a token, however often it came. */
  private void penaliseRepetition(float[] scores, TokenHistory history) {
    BitSet seen = new BitSet(scores.length);
    for (int i = 0; i < history.length(); i++) {
      seen.set(history.token(i));
    }
    float penalty = (float) config.repetitionPenalty();
    seen.stream()
        .forEach(id -> scores[id] = scores[id] < 0 ? scores[id] * penalty : scores[id] / penalty);
  }

  private void penaliseTheAnswersTokens(float[] scores, TokenHistory history) {
    Map<Integer, Integer> counts = new HashMap<>();
    for (int i = history.promptLength(); i < history.length(); i++) {
      counts.merge(history.token(i), 1, Integer::sum);
    }
    counts.forEach(
        (id, count) ->
            scores[id] -= (float) (config.presencePenalty() + count * config.frequencyPenalty()));
  }

  /** Bans every token that would end an n-gram that is there. */
  private static void banNgrams(float[] scores, TokenHistory history, int size) {
    int length = history.length();
    int suffix = length - (size - 1);
    for (int begin = 0; begin + size <= length; begin++) {
      int same = 0;
      while (same < size - 1 && history.token(begin + same) == history.token(suffix + same)) {
        same++;
      }
      if (same == size - 1) {
        scores[history.token(begin + size - 1)] = Float.NEGATIVE_INFINITY;
      }
    }
  }
}
