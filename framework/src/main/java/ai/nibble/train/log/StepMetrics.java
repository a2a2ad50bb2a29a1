package ai.nibble.train.log;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * One optimizer step.
 *
 * @param step its number, from 1
 * @param totalSteps steps of the whole run
 * @param epoch passes over the data after this step, with a fraction
 * @param loss mean over the step's target tokens, or over its rows where the objective is one of
 *     whole rows
 * @param learningRate the rate this step used
 * @param gradNorm global L2 norm before clipping
 * @param tokensPerSecond tokens of the step, padding not counted, by its wall-clock time
 * @param memoryBytes bytes of memory held, on the device that trains
 * @param tokens tokens since step 1, padding not counted
 * @param measures what else the objective saw, means over the step by name
 */
public record StepMetrics(
    int step,
    int totalSteps,
    double epoch,
    double loss,
    double learningRate,
    double gradNorm,
    double tokensPerSecond,
    long memoryBytes,
    long tokens,
    Map<String, Double> measures) {
  public StepMetrics {
    measures = Collections.unmodifiableMap(new LinkedHashMap<>(measures));
  }

  /** A step of the loss alone. */
  public StepMetrics(
      int step,
      int totalSteps,
      double epoch,
      double loss,
      double learningRate,
      double gradNorm,
      double tokensPerSecond,
      long memoryBytes,
      long tokens) {
    this(
        step,
        totalSteps,
        epoch,
        loss,
        learningRate,
        gradNorm,
        tokensPerSecond,
        memoryBytes,
        tokens,
        Map.of());
  }
}
