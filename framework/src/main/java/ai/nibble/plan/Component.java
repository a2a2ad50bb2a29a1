package ai.nibble.plan;

import java.util.Locale;

/** What memory is taken by. */
public enum Component {
  WEIGHTS_4BIT("weights: 4-bit codes"),
  ABSMAX("weights: absmax of their blocks"),
  WEIGHTS_8BIT("weights: 8-bit codes"),
  WEIGHTS_DENSE("weights: kept as stored"),
  KEPT_WEIGHTS("weights: kept dequantised"),
  FROZEN_ADAPTER("adapter that stays as it is"),
  TRAINED("trained values"),
  GRADIENTS("gradients"),
  OPTIMIZER("optimizer moments"),
  ACTIVATIONS("activations kept"),
  WORKING("activations of the moment"),
  LOSS("logits and loss"),
  WORKSPACE("workspace"),
  LOADING("the weight being read"),
  SAVING("what is being written"),
  GENERATION("generation"),
  ROWS("rows"),
  PROCESS("JVM and libtorch"),
  HEAP("left free between buffers");

  private final String label;

  Component(String label) {
    this.label = label;
  }

  /** For people. */
  public String label() {
    return label;
  }

  /** In JSON. */
  public String key() {
    return name().toLowerCase(Locale.ROOT);
  }
}
