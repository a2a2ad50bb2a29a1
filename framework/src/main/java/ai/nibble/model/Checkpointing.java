package ai.nibble.model;

/**
 * What is kept of a layer from the forward pass for the backward pass; the rest is computed again.
 */
public enum Checkpointing {
  /** All that backward needs: nothing is computed again. */
  NONE,
  /** Its input and the outputs of its products and of attention: what is costly to compute. */
  SELECTIVE,
  /** Its input, attention's output and the hidden state after attention. */
  BLOCK,
  /**
   * As {@link #BLOCK}, what is kept lying in the main memory until it is read; on a CPU it is that.
   */
  OFFLOAD
}
