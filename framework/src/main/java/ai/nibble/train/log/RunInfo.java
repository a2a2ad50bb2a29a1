package ai.nibble.train.log;

/**
 * A run that is about to begin.
 *
 * @param name the run's name, a single path segment
 * @param firstStep optimizer steps done before, by the run that this one resumes; 0 for a new run
 * @param totalSteps optimizer steps done when it is finished, at least {@code firstStep}
 * @param recipe the resolved recipe as YAML
 */
public record RunInfo(String name, int firstStep, int totalSteps, String recipe) {
  public RunInfo {
    if (firstStep < 0 || totalSteps < firstStep) {
      throw new IllegalArgumentException(
          "a run from step " + firstStep + " to " + totalSteps + ", expected 0 <= first <= total");
    }
  }
}
