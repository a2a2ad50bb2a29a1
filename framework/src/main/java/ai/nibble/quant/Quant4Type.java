package ai.nibble.quant;

import ai.nibble.InvalidInputException;
import ai.nibble.cuda.Code4;
import java.util.Arrays;

/**
 * The two 4-bit codes of bitsandbytes: which float32 value in [−1, 1] each of the 16 codes stands
 * for, and which code a normalised weight gets.
 *
 * <p>Both types follow one rule. Sort the 16 values; between two neighbours lies a threshold, their
 * float32 midpoint. A value's rank is the number of thresholds strictly below it, so a tie stays
 * with the lower neighbour, and the rank names the code. This is what bitsandbytes 0.50 does on the
 * CPU for both types and its CUDA kernel for NF4; for FP4 the CUDA kernel decides on magnitudes,
 * which differs for negative ties and in which of its two zeros a value below 1/384 gets.
 */
public enum Quant4Type {
  /**
   * 4-bit NormalFloat: quantiles of N(0, 1), scaled to [−1, 1]. QLoRA (Dettmers et al. 2023),
   * appendix E. Code order is value order.
   */
  NF4("nf4", Code4.NF4),

  /**
   * 4-bit float: a sign bit over the magnitudes 0, 1/192, 1/6, 1/4, 1/3, 1/2, 2/3, 1 (E2M1 over
   * 12). Code 8 is a second zero, which bitsandbytes' own table holds as +0 and which lies above
   * code 0 in rank.
   */
  FP4("fp4", Code4.FP4);

  private final String key;
  private final Code4 code;

  Quant4Type(String key, Code4 code) {
    this.key = key;
    this.code = code;
  }

  /** The name in recipes and in stored quantisation states: {@code nf4} or {@code fp4}. */
  public String key() {
    return key;
  }

  /** A copy of the 16 values by code: bitsandbytes' {@code quant_map}. */
  public float[] codes() {
    return code.codes();
  }

  /** A copy of the 15 thresholds, ascending. */
  public float[] thresholds() {
    return code.thresholds();
  }

  /** The code of a value by its rank among the 16, 0 for the least. */
  int codeOfRank(int rank) {
    return code.codeOfRank(rank);
  }

  /** As the kernels name it. */
  Code4 forKernels() {
    return code;
  }

  /**
   * The type of that name.
   *
   * @throws InvalidInputException where there is none
   */
  public static Quant4Type of(String key) {
    for (Quant4Type type : values()) {
      if (type.key.equals(key)) {
        return type;
      }
    }
    throw new InvalidInputException(
        "4-bit quantisation type is '"
            + key
            + "', expected one of "
            + Arrays.stream(values()).map(Quant4Type::key).toList()
            + ": name one of these");
  }
}
