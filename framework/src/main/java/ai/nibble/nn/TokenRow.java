package ai.nibble.nn;

import ai.nibble.nn.vector.Dense512;
import ai.nibble.quant.PackedInput;
import ai.nibble.tensor.DType;

/**
 * A row of one token's activations on its way into products: as float32 in their own order, and in
 * the order in which kernels meet packed and bfloat16 weights.
 */
final class TokenRow {
  private final float[] values;
  private final PackedInput split;

  /**
   * @param width a multiple of 32
   */
  TokenRow(int width) {
    this.values = new float[width];
    this.split = new PackedInput(1, width);
  }

  /** In their own order, to be written; {@link #ready} follows. */
  float[] values() {
    return values;
  }

  /** Takes in what was written. */
  void ready() {
    split.set(0, values);
  }

  PackedInput packed() {
    return split;
  }

  /** In the order in which kernels meet weights of a dtype. */
  float[] against(DType dtype) {
    return dtype == DType.BFLOAT16 ? split.values() : values;
  }

  /** Puts values that are {@linkplain Dense512 split} in their own order. */
  static void join(float[] from, float[] to, int at) {
    for (int c = 0; c < from.length; c += Dense512.UNIT) {
      for (int k = 0; k < Dense512.LANES; k++) {
        to[at + c + 2 * k] = from[c + k];
        to[at + c + 2 * k + 1] = from[c + Dense512.LANES + k];
      }
    }
  }
}
