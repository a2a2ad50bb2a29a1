package ai.nibble.cuda;

/**
 * Which 16 values the 4-bit codes of bitsandbytes stand for; the order is that of the kernels'
 * table.
 */
public enum Code4 {
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

  /** Different codes. */
  public static final int COUNT = 16;

  private final float[] values;
  private final int[] codeOfRank;
  private final float[] thresholds = new float[COUNT - 1];

  Code4(float[] values, int[] codeOfRank) {
    this.values = values;
    this.codeOfRank = codeOfRank;
    for (int rank = 0; rank < thresholds.length; rank++) {
      thresholds[rank] = (values[codeOfRank[rank]] + values[codeOfRank[rank + 1]]) / 2;
    }
  }

  /** A copy of the values by code. */
  public float[] codes() {
    return values.clone();
  }

  /** A copy of the midpoints between the values of ranks that follow each other, ascending. */
  public float[] thresholds() {
    return thresholds.clone();
  }

  /** The code of a value by its rank among the 16, 0 for the least. */
  public int codeOfRank(int rank) {
    return codeOfRank[rank];
  }
}
