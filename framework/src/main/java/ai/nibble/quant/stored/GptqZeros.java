package ai.nibble.quant.stored;

import ai.nibble.InvalidInputException;

/**
 * The zeros of GPTQ, which files store in two ways: the first version one less than they are, the
 * second as they are. A model read the wrong way computes nonsense, and looks right otherwise; so
 * what is stored is checked against what is said.
 *
 * <p>Symmetric quantisation has one zero, half of the codes: its files say themselves which version
 * they are. In the first version the zero 0 has no code: it was packed as −1, which spilled into
 * the zeros above it, so that such a file is damaged wherever the greatest code stands.
 */
final class GptqZeros {
  private GptqZeros() {}

  /**
   * Makes zeros of what is stored, in place.
   *
   * @param place the tensor, for messages
   * @throws InvalidInputException if version and values contradict each other
   */
  static void restore(String place, byte[] zeros, QuantizationConfig.Gptq config) {
    int middle = 1 << config.bits() - 1;
    int greatest = (1 << config.bits()) - 1;
    boolean second = config.second().orElseGet(() -> isSecond(zeros, middle, config.symmetric()));
    for (int i = 0; i < zeros.length; i++) {
      int stored = zeros[i] & 0xFF;
      int zero = second ? stored : stored + 1;
      if (config.symmetric() && zero != middle) {
        throw new InvalidInputException(
            place
                + " holds "
                + stored
                + ", expected "
                + (second ? middle : middle - 1)
                + ", as 'sym' is true and 'checkpoint_format' is "
                + (second ? "gptq_v2" : "gptq")
                + (stored == (second ? middle - 1 : middle)
                    ? ": the file is of the other format, "
                        + (second ? "gptq" : "gptq_v2")
                        + ": say so in 'checkpoint_format'"
                    : ": the file is damaged, or 'sym' is another model's"));
      }
      if (zero > greatest) {
        throw new InvalidInputException(
            place
                + " holds "
                + stored
                + " at "
                + i
                + ", which no zero of checkpoint_format gptq is: a zero of 0 spilled into others"
                + " when the file was made; if it is a gptq_v2 file, say so in"
                + " 'checkpoint_format', else quantise the model again");
      }
      zeros[i] = (byte) zero;
    }
  }

  /** Where the format is not said, the zero of symmetric quantisation says it; else the first. */
  private static boolean isSecond(byte[] zeros, int middle, boolean symmetric) {
    return symmetric && zeros.length > 0 && (zeros[0] & 0xFF) == middle;
  }
}
