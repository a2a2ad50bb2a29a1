package ai.nibble.bench;

import ai.nibble.model.LoadOptions;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import java.util.Optional;

/** How a base is held, by the word that a benchmark is given; computed in bfloat16. */
final class HeldAs {
  private HeldAs() {}

  /**
   * @throws IllegalArgumentException for another word than {@code bf16} or {@code nf4dq}
   */
  static LoadOptions options(String word) {
    return new LoadOptions(
        switch (word) {
          case "bf16" -> Optional.empty();
          case "nf4dq" -> Optional.of(new Quant4Config(Quant4Type.NF4, 64, true));
          default -> throw new IllegalArgumentException(word + ": expected bf16 or nf4dq");
        },
        DType.BFLOAT16);
  }
}
