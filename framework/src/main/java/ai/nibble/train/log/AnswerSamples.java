package ai.nibble.train.log;

import java.util.List;

/**
 * Some of the answers that {@link AnswerMetrics} counts, for people to read.
 *
 * @param step optimizer steps done before them
 * @param samples in the order of the rows
 */
public record AnswerSamples(int step, List<Sample> samples) {
  public AnswerSamples {
    samples = List.copyOf(samples);
  }

  /**
   * One answer.
   *
   * @param request what was asked
   * @param expected the row's answer
   * @param answer what was generated
   * @param right whether the metric counts it as right
   */
  public record Sample(String request, String expected, String answer, boolean right) {}
}
