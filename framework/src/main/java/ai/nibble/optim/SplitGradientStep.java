package ai.nibble.optim;

import java.util.List;

/** Steps over parameters on several devices, which have one norm. */
final class SplitGradientStep implements GradientStep {
  private final List<GradientStep> parts;

  /**
   * @param parts one a device, in a fixed order
   */
  SplitGradientStep(List<GradientStep> parts) {
    this.parts = List.copyOf(parts);
  }

  @Override
  public void begin(int first) {
    parts.forEach(part -> part.begin(first));
  }

  /** A model over several devices is one worker's. */
  @Override
  public void append(GradientStretch next) {
    throw new IllegalStateException("parameters on several devices have no other worker's beside");
  }

  @Override
  public void addMicroBatch() {
    parts.forEach(GradientStep::addMicroBatch);
  }

  @Override
  public double sumOfSquares() {
    double sum = 0;
    for (GradientStep part : parts) {
      sum += part.sumOfSquares();
    }
    return sum;
  }

  @Override
  public void applyPart(double learningRate, double maxNorm, double squares) {
    parts.forEach(part -> part.applyPart(learningRate, maxNorm, squares));
  }
}
