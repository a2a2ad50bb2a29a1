package ai.nibble.autograd;

import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;

/**
 * What a part of a computation that runs twice, for its output and again for its backward, carries
 * from the first run to the second. The part takes the same steps in both.
 */
public final class Recall implements AutoCloseable {
  private final boolean keeps;
  private final Deque<Tensor> kept = new ArrayDeque<>();
  private boolean again;

  private Recall(boolean keeps) {
    this.keeps = keeps;
  }

  /** For a part that runs once. */
  public static Recall once() {
    return new Recall(false);
  }

  /** For a part that runs twice. */
  static Recall twice() {
    return new Recall(true);
  }

  /** A step of a part. */
  @FunctionalInterface
  public interface Step {
    /** Takes the step; what of it may be left out the argument says. */
    Variable take(Earlier earlier);
  }

  /** Takes a step whose output the second run gets from the first. */
  public Variable kept(Step step) {
    if (again) {
      if (kept.isEmpty()) {
        throw new IllegalStateException("a checkpoint's part keeps more steps the second time");
      }
      try (Tensor output = kept.remove()) {
        return step.take(Earlier.of(output));
      }
    }
    Variable output = step.take(Earlier.NONE);
    if (keeps) {
      kept.add(output.value().share());
    }
    return output;
  }

  /** Takes a step whose output nothing in the second run reads. */
  public Variable unread(Step step) {
    return step.take(again ? Earlier.UNREAD : Earlier.NONE);
  }

  void secondRun() {
    again = true;
  }

  @Override
  public void close() {
    try (Scope scope = new Scope()) {
      kept.forEach(scope::own);
      kept.clear();
    }
  }
}
