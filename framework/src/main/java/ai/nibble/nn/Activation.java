package ai.nibble.nn;

import ai.nibble.autograd.Function;

/** What gates an MLP. */
public enum Activation {
  /** {@link SwiGlu}. */
  SILU("silu"),
  /** {@link GeGlu}. */
  GELU_TANH("gelu_pytorch_tanh");

  private final String hiddenAct;

  Activation(String hiddenAct) {
    this.hiddenAct = hiddenAct;
  }

  /** transformers' name. */
  public String hiddenAct() {
    return hiddenAct;
  }

  /**
   * The function of {@code [N, 2·intermediate]}, gate left and up right.
   *
   * @param room columns of zeros behind each row of the result; 0 unless kernels compute it
   */
  public Function gated(int room) {
    return this == SILU ? new SwiGlu(room) : new GeGlu(room);
  }

  /** What {@link #gated} holds. */
  public Footprint footprint(Extent extent, int intermediate, int room) {
    return this == SILU
        ? SwiGlu.footprint(extent, intermediate, room)
        : GeGlu.footprint(extent, intermediate, room);
  }
}
