package ai.nibble.model;

/** What the memory of a pass is for, beside the model and its trained values. */
public enum MemoryPart {
  /** What forward keeps for backward. */
  ACTIVATIONS,
  /** What is computed again, gradients by activations, and what lives for the moment. */
  WORKING,
  /** The loss: hidden states that carry it, their gradient, a chunk of logits. */
  LOSS,
  /** Buffers that the layers reuse in turn, beside the loss's. */
  WORKSPACE
}
