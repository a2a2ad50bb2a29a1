package ai.nibble.quant;

/** How the frozen weights of a base's linears are held: one of the formats. */
public sealed interface QuantConfig permits Quant4Config, Quant8Config {
  /** In words, for people and records: {@code nf4, blocks of 64, double quantisation}. */
  String description();

  /** The linears that stay as stored. */
  SkipModules skipModules();

  /**
   * Whether the weight of a linear is quantised.
   *
   * @param module its path, {@code model.layers.0.self_attn.q_proj}
   */
  default boolean quantizes(String module) {
    return !skipModules().contains(module);
  }
}
