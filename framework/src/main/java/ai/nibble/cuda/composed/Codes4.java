package ai.nibble.cuda.composed;

import ai.nibble.tensor.Aten;
import ai.nibble.tensor.Tensor;

/** The two 4-bit codes, as {@code codes4.cuh} has them, in the order of its table. */
enum Codes4 {
  NF4(
      new float[] {
        -1.0f,
        -0.6961928009986877f,
        -0.5250730514526367f,
        -0.39491748809814453f,
        -0.28444138169288635f,
        -0.18477343022823334f,
        -0.09105003625154495f,
        0.0f,
        0.07958029955625534f,
        0.16093020141124725f,
        0.24611230194568634f,
        0.33791524171829224f,
        0.44070982933044434f,
        0.5626170039176941f,
        0.7229568362236023f,
        1.0f
      },
      new int[] {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}),
  FP4(
      new float[] {
        0.0f,
        0.0052083334885537624f,
        0.6666666865348816f,
        1.0f,
        0.3333333432674408f,
        0.5f,
        0.1666666716337204f,
        0.25f,
        0.0f,
        -0.0052083334885537624f,
        -0.6666666865348816f,
        -1.0f,
        -0.3333333432674408f,
        -0.5f,
        -0.1666666716337204f,
        -0.25f
      },
      new int[] {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3});

  private static final int CODES = 16;

  private final float[] values;

  /** Codes from the least value on. */
  private final int[] ofRank;

  Codes4(float[] values, int[] ofRank) {
    this.values = values;
    this.ofRank = ofRank;
  }

  /** What both nibbles of each byte stand for, the high one first: float32 {@code [256, 2]}. */
  Tensor pairs(Aten at, Tensor beside) {
    float[] pairs = new float[2 * CODES * CODES];
    for (int b = 0; b < CODES * CODES; b++) {
      pairs[2 * b] = values[b / CODES];
      pairs[2 * b + 1] = values[b % CODES];
    }
    return at.values(beside, pairs, CODES * CODES, 2);
  }

  /** The k-th lies between the values of ranks k and k + 1: float32 {@code [15]}. */
  Tensor thresholds(Aten at, Tensor beside) {
    float[] thresholds = new float[CODES - 1];
    for (int r = 0; r < thresholds.length; r++) {
      thresholds[r] = (values[ofRank[r]] + values[ofRank[r + 1]]) / 2;
    }
    return at.values(beside, thresholds, CODES - 1);
  }

  /** The code of each rank, as float32 {@code [16]}. */
  Tensor codesOfRanks(Aten at, Tensor beside) {
    float[] codes = new float[CODES];
    for (int r = 0; r < CODES; r++) {
      codes[r] = ofRank[r];
    }
    return at.values(beside, codes, CODES);
  }
}
