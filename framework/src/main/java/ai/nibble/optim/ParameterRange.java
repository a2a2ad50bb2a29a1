package ai.nibble.optim;

/**
 * A stretch of the flat parameter buffer with its own rate and decay: LoRA+ gives the B matrices a
 * higher rate, biases usually go without decay.
 *
 * @param begin first element
 * @param end one past the last, above {@code begin}
 * @param lrMultiplier factor of the step's learning rate, at least 0
 * @param weightDecay decoupled weight decay, at least 0
 */
public record ParameterRange(int begin, int end, double lrMultiplier, double weightDecay) {
  public ParameterRange {
    if (begin < 0 || end <= begin) {
      throw new IllegalArgumentException(
          "parameter range [" + begin + ", " + end + "), expected 0 <= begin < end");
    }
    if (!(lrMultiplier >= 0 && lrMultiplier < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "learning-rate multiplier is " + lrMultiplier + ", expected at least 0 and finite");
    }
    if (!(weightDecay >= 0 && weightDecay < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "weight_decay is " + weightDecay + ", expected at least 0 and finite");
    }
  }
}
