package ai.nibble.quant.stored;

import ai.nibble.quant.QuantizedMatrix;
import java.util.List;

/** A matrix {@code [out, in]} that a checkpoint holds quantised, in one of its formats. */
public interface StoredMatrix {
  /** Its name as a plain weight: {@code model.layers.0.self_attn.q_proj.weight}. */
  String name();

  long out();

  long in();

  /** The tensors that it is made of, by their names in the files. */
  List<String> parts();

  /** In words, for people and records: {@code nf4, blocks of 64, double quantisation}. */
  String description();

  /** Bits of a code as it is held in memory: 4 or 8. */
  int bits();

  /** Bytes of its scales, and what belongs to them, as they are held in memory. */
  long scaleBytes();

  /** Bytes of its codes as they are held in memory. */
  default long codeBytes() {
    return (out() * in() * bits() + 7) / 8;
  }

  /** Bytes that a device holds beside, to find columns by. */
  default long columnBytes() {
    return 0;
  }

  /** Whether it is multiplied as LLM.int8() does it. */
  default boolean isInt8() {
    return false;
  }

  /** Magnitude from which an activation is an outlier, for LLM.int8(); 0: none is. */
  default double threshold() {
    return 0;
  }

  /**
   * Reads it into memory, where the caller closes it.
   *
   * @throws ai.nibble.InvalidInputException if its tensors do not fit together
   */
  QuantizedMatrix read();
}
