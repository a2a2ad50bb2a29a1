package ai.nibble.train.objective;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * A micro-batch's prompts with the answers of other rows: each with that of the row before it, the
 * first with the last row's. So the answers are the same set, and none is to its prompt.
 */
final class MismatchedAnswers {
  private MismatchedAnswers() {}

  /**
   * @param batch one sequence a row
   * @param sequenceLen most tokens of a sequence; a longer one is cut at its end
   */
  static Batch of(Batch batch, int sequenceLen) {
    int n = batch.sequences();
    List<Example> mismatched = new ArrayList<>();
    for (int s = 0; s < n; s++) {
      int other = (s + n - 1) % n;
      int[] starts = batch.sequenceStarts();
      int[] prompt = Arrays.copyOfRange(batch.inputIds(), starts[s], answer(batch, s));
      int from = answer(batch, other);
      int answerTokens = Math.min(starts[other + 1] - from, sequenceLen - prompt.length);
      int[] ids = Arrays.copyOf(prompt, prompt.length + answerTokens);
      int[] labels = new int[ids.length];
      Arrays.fill(labels, Example.IGNORED);
      System.arraycopy(batch.inputIds(), from, ids, prompt.length, answerTokens);
      System.arraycopy(batch.labels(), from, labels, prompt.length, answerTokens);
      mismatched.add(new Example(ids, labels));
    }
    return Batch.of(mismatched);
  }

  /** Where a sequence's answer begins: its first token that may carry loss. */
  private static int answer(Batch batch, int sequence) {
    int at = batch.sequenceStarts()[sequence];
    while (batch.labels()[at] == Example.IGNORED) {
      at++;
    }
    return at;
  }
}
