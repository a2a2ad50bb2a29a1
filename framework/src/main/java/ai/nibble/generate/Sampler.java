package ai.nibble.generate;

import ai.nibble.InvalidInputException;
import java.nio.FloatBuffer;

/**
 * Picks a sequence's next token from its logits.
 *
 * <p>A sampler keeps no state: one that draws at random takes its numbers from a seed, the sequence
 * and the position, so that a prompt gets the same answer whatever else is in its batch.
 */
@FunctionalInterface
public interface Sampler {
  /** Takes the most likely token; of equals the lowest id. */
  Sampler GREEDY = (logits, history) -> argmax(logits);

  /**
   * Picks.
   *
   * @param logits float32 {@code [vocabulary]}, not to be changed, valid during the call
   * @param history the sequence so far
   * @return the token's id
   */
  int pick(FloatBuffer logits, TokenHistory history);

  private static int argmax(FloatBuffer logits) {
    int best = 0;
    for (int i = 1; i < logits.limit(); i++) {
      if (logits.get(i) > logits.get(best)) {
        best = i;
      }
    }
    if (!Float.isFinite(logits.get(best))) {
      throw new InvalidInputException(
          "the largest logit is "
              + logits.get(best)
              + ", expected a finite number: the model's weights or its adapter are damaged");
    }
    return best;
  }
}
