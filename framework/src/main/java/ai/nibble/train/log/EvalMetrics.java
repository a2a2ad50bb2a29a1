package ai.nibble.train.log;

/**
 * One evaluation.
 *
 * @param step optimizer steps done before it
 * @param epoch passes over the training data by then
 * @param evalLoss mean over all target tokens of the evaluation set
 * @param tokens target tokens it is the mean of
 * @param seconds wall-clock time it took
 */
public record EvalMetrics(int step, double epoch, double evalLoss, long tokens, double seconds) {}
