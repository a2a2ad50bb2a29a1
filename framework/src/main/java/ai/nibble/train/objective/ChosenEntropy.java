package ai.nibble.train.objective;

/**
 * The cross-entropy of the chosen answers, beside a loss of pairs.
 *
 * @param weight what it is multiplied by, at least 0; 0: there is none
 * @param prompts whether it is of their prompts' tokens, too
 */
public record ChosenEntropy(double weight, boolean prompts) {
  /** None of it. */
  public static final ChosenEntropy NONE = new ChosenEntropy(0, false);

  public ChosenEntropy {
    if (!(weight >= 0) || Double.isInfinite(weight)) {
      throw new IllegalArgumentException("cross-entropy weighs " + weight);
    }
  }
}
