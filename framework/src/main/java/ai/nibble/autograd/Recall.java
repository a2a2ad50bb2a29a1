package ai.nibble.autograd;

import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.List;

/**
 * What a part of a computation that runs twice, for its output and again for its backward, carries
 * from the first run to the second. The part takes the same steps in both.
 */
public final class Recall implements AutoCloseable {
  private final boolean keeps;
  private final Deque<Kept> kept = new ArrayDeque<>();
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
      try (Kept before = kept.remove()) {
        return step.take(Earlier.of(before.output, before.aside));
      }
    }
    if (!keeps) {
      return step.take(Earlier.NONE);
    }
    List<Tensor> aside = new ArrayList<>();
    Variable output = step.take(Earlier.first(aside));
    kept.add(new Kept(output.value().share(), aside));
    return output;
  }

  /** A step's output and what its function kept beside it. */
  private record Kept(Tensor output, List<Tensor> aside) implements AutoCloseable {
    @Override
    public void close() {
      if (output != null) {
        output.close();
      }
      aside.forEach(Tensor::close);
    }
  }

  /** Hands over the outputs that are kept, which stay away until they are given back. */
  List<Tensor> takeOutputs() {
    List<Tensor> outputs = kept.stream().map(Kept::output).toList();
    exchange(new ArrayList<>(Collections.nCopies(outputs.size(), null)));
    return outputs;
  }

  /** Takes the outputs over again, in their order. */
  void giveOutputs(List<Tensor> outputs) {
    exchange(outputs);
  }

  private void exchange(List<Tensor> outputs) {
    for (Tensor output : outputs) {
      kept.add(new Kept(output, kept.remove().aside));
    }
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
