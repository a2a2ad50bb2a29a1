package ai.nibble.model;

/**
 * What is kept of a layer from the forward pass for the backward pass; the rest is computed again.
 */
public enum Checkpointing {
  /** All that backward needs: nothing is computed again. */
  NONE,
  /** Its input and the outputs of its products and of attention: what is costly to compute. */
  SELECTIVE,
  /**
   * As {@link #SELECTIVE} without the product of gate and up, which is a layer's widest value: of
   * its products that one is computed again.
   */
  PARTIAL,
  /** Its input, attention's output and the hidden state after attention. */
  BLOCK,
  /**
   * As {@link #BLOCK}, what is kept lying in the main memory until it is read; on a CPU it is that.
   */
  OFFLOAD;

  /** Whether the product of q, k and v is kept. */
  boolean keepsQkv() {
    return this == SELECTIVE || this == PARTIAL;
  }

  /** Whether the product of gate and up is kept, an expert's too. */
  boolean keepsGateUp() {
    return this == SELECTIVE;
  }
}
