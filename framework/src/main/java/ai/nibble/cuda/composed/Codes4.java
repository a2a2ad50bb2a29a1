package ai.nibble.cuda.composed;

import ai.nibble.cuda.Code4;
import ai.nibble.tensor.Aten;
import ai.nibble.tensor.Tensor;

/** Tables of a {@link Code4} beside a kernel's operands. */
final class Codes4 {
  private Codes4() {}

  /** The code that a kernel is given by its number. */
  static Code4 of(long number) {
    return Code4.values()[(int) number];
  }

  /** What both nibbles of each byte stand for, the high one first: float32 {@code [256, 2]}. */
  static Tensor pairs(Code4 code, Aten at, Tensor beside) {
    float[] values = code.codes();
    int bytes = Code4.COUNT * Code4.COUNT;
    float[] pairs = new float[2 * bytes];
    for (int b = 0; b < bytes; b++) {
      pairs[2 * b] = values[b / Code4.COUNT];
      pairs[2 * b + 1] = values[b % Code4.COUNT];
    }
    return at.values(beside, pairs, bytes, 2);
  }

  /** The k-th lies between the values of ranks k and k + 1: float32 {@code [15]}. */
  static Tensor thresholds(Code4 code, Aten at, Tensor beside) {
    float[] thresholds = code.thresholds();
    return at.values(beside, thresholds, thresholds.length);
  }

  /** The code of each rank, as float32 {@code [16]}. */
  static Tensor codesOfRanks(Code4 code, Aten at, Tensor beside) {
    float[] codes = new float[Code4.COUNT];
    for (int r = 0; r < codes.length; r++) {
      codes[r] = code.codeOfRank(r);
    }
    return at.values(beside, codes, codes.length);
  }
}
