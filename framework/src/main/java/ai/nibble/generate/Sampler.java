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
  /**
   * Takes the most likely token; of equals the lowest id.
   *
   * @throws InvalidInputException if a logit is not a number, or none is finite
   */
  Sampler GREEDY = (logits, history) -> argmax(logits);

  /**
   * Picks.
   *
   * @param logits float32 {@code [vocabulary]}, not to be changed, valid during the call
   * @param history the sequence so far
   * @return the token's id
   */
  int pick(FloatBuffer logits, TokenHistory history);

  /**
   * This one, of the first tokens alone.
   *
   * @param tokens ids below it may be picked
   */
  default Sampler among(int tokens) {
    return (logits, history) ->
        pick(logits.limit() > tokens ? logits.slice(0, tokens) : logits, history);
  }

  private static int argmax(FloatBuffer logits) {
    int best = 0;
    float most = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < logits.limit(); i++) {
      float logit = logits.get(i);
      if (!(logit <= most)) { // larger, or not a number
        best = i;
        most = logit;
        if (Float.isNaN(most)) {
          break;
        }
      }
    }
    if (!Float.isFinite(most)) {
      throw new InvalidInputException(
          "the largest logit is "
              + most
              + ", expected a finite number: the model's weights or its adapter are damaged");
    }
    return best;
  }
}
