package ai.nibble.train.log;

/**
 * One evaluation of generated answers.
 *
 * @param step optimizer steps done before it
 * @param right answers that are exactly right
 * @param rows answers in all
 * @param tokens generated
 * @param seconds wall-clock time it took
 */
public record AnswerMetrics(int step, int right, int rows, long tokens, double seconds) {
  /** The share that is right, 0 to 1. */
  public double exactMatch() {
    return (double) right / rows;
  }
}
