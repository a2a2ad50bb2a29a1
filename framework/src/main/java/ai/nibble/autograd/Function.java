package ai.nibble.autograd;

import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * One differentiable step, used once: {@link #forward} and then, if the tape records, {@link
 * #backward}. Fields hold what backward needs; tensors among them are saved by {@link #save}.
 */
public abstract class Function {
  private final Scope saved = new Scope();
  private boolean recording;

  /**
   * Computes the outputs.
   *
   * @param inputs read only, owned by the tape
   * @return new tensors, which the tape takes over
   */
  protected abstract Tensor[] forward(Tensor[] inputs);

  /**
   * Adds the gradients of the inputs that want one and of the function's own parameters.
   *
   * @param gradOutputs one an output, owned by the tape; null where nothing flowed back
   */
  protected abstract void backward(Tensor[] gradOutputs, Gradients gradients);

  /** Whether backward is due even if no input wants a gradient. */
  protected boolean hasParameters() {
    return false;
  }

  /** Whether the tape will call backward. */
  protected final boolean isRecording() {
    return recording;
  }

  /**
   * Keeps a tensor's memory until backward has run.
   *
   * @return the tensor to read in backward; null when nothing is recorded
   */
  protected final Tensor save(Tensor tensor) {
    if (!recording) {
      return null;
    }
    return saved.own(tensor.share());
  }

  /** Hands over something to be closed once backward has run, or will not run. */
  protected final <T extends AutoCloseable> T keep(T resource) {
    return saved.own(resource);
  }

  final void begin(boolean record) {
    recording = record;
  }

  final void release() {
    saved.close();
  }
}
