package ai.nibble.train.objective;

import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import java.util.Arrays;

/**
 * The tokens of a micro-batch whose log-probabilities are wanted: those of the answers, and where
 * they are to be learned as well those of prompts.
 */
final class AnswerTokens {
  private final int[] positions;
  private final int[] targets;
  private final int[] sequences;
  private final boolean[] answers;
  private final int[] counts;

  /**
   * @param prompts whether the prompts of chosen answers are among them: of pairs, every second
   *     sequence's, from the first on
   */
  AnswerTokens(Batch batch, boolean prompts) {
    int[] starts = batch.sequenceStarts();
    int n = 0;
    int[] at = new int[batch.tokens()];
    int[] of = new int[batch.tokens()];
    for (int s = 0; s < batch.sequences(); s++) {
      for (int t = starts[s] + 1; t < starts[s + 1]; t++) {
        if (batch.labels()[t] != Example.IGNORED || prompts && s % 2 == 0) {
          at[n] = t - 1;
          of[n++] = s;
        }
      }
    }
    positions = Arrays.copyOf(at, n);
    sequences = Arrays.copyOf(of, n);
    targets = new int[n];
    answers = new boolean[n];
    counts = new int[batch.sequences()];
    for (int i = 0; i < n; i++) {
      targets[i] = batch.inputIds()[positions[i] + 1];
      answers[i] = batch.labels()[positions[i] + 1] != Example.IGNORED;
      counts[sequences[i]] += answers[i] ? 1 : 0;
    }
  }

  /** How many there are. */
  int count() {
    return positions.length;
  }

  /** Where each is predicted, ascending. */
  int[] positions() {
    return positions;
  }

  /** The tokens. */
  int[] targets() {
    return targets;
  }

  /** The sequence that a token is of. */
  int sequence(int token) {
    return sequences[token];
  }

  /** Whether a token is of an answer. */
  boolean isAnswer(int token) {
    return answers[token];
  }

  /** Tokens of a sequence's answer. */
  int answerTokens(int sequence) {
    return counts[sequence];
  }

  /**
   * What the tokens of each sequence's answer come to.
   *
   * @param logProbs one for each token
   */
  double[] sums(float[] logProbs) {
    double[] sums = new double[counts.length];
    for (int i = 0; i < logProbs.length; i++) {
      sums[sequences[i]] += answers[i] ? logProbs[i] : 0;
    }
    return sums;
  }
}
