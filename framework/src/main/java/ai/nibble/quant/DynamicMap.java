package ai.nibble.quant;

import java.util.Arrays;

/**
 * The 256 sorted float32 values of a dynamic 8-bit code (Dettmers 2016), by its definition: for
 * each power of ten from 10⁻⁶ to 1 the midpoints of equal steps between a tenth of it and it, twice
 * as many for the next power; and 0 and 1. With a sign there are half as many steps and their
 * negatives. bitsandbytes' {@code create_dynamic_map}, whose last bits depend on the machine.
 *
 * <p>What double quantisation stores its residuals by is {@link SignedDynamicMap}, bit for bit;
 * this is for state that no other program reads.
 */
public final class DynamicMap {
  /** Entries. */
  public static final int SIZE = 256;

  private static final int POWERS = 7;

  private final float[] values;

  /** Values in (−1, 1]. */
  public static DynamicMap signed() {
    return new DynamicMap(SignedDynamicMap.values());
  }

  /** Values in [0, 1]. */
  public static DynamicMap unsigned() {
    float[] values = new float[SIZE];
    int at = 1; // the first is 0
    for (int power = 0; power < POWERS; power++) {
      int count = 2 << power;
      for (int k = 0; k < count; k++) {
        double middle = 0.1 + 0.9 * (k + 0.5) / count;
        values[at++] = (float) (StrictMath.pow(10, power - (POWERS - 1)) * middle);
      }
    }
    values[at] = 1;
    return new DynamicMap(values);
  }

  private DynamicMap(float[] values) {
    this.values = values;
  }

  /** A copy of the entries, ascending. */
  public float[] values() {
    return values.clone();
  }

  /** The value of a code. */
  public float value(byte code) {
    return values[code & 0xff];
  }

  /**
   * The code of the entry nearest to x, but never one of the other sign: see {@link #nearest(float,
   * float[])}.
   */
  public byte nearest(float x) {
    int code = nearest(x, values);
    if (x < 0 && !(values[code] < 0)) {
      return (byte) (code - 1);
    }
    return (byte) (x > 0 && values[code] < 0 ? code + 1 : code);
  }

  /**
   * Index of the entry nearest to x, as bitsandbytes' CUDA kernels find it: seven halving steps
   * from index 127, then the float32 midpoint to the neighbour on x's side. Seven steps always end
   * on an even index, which a tie keeps.
   *
   * @param values {@code [256]}, ascending
   */
  static int nearest(float x, float[] values) {
    int pivot = SIZE / 2 - 1;
    for (int step = SIZE / 4; step > 0; step >>= 1) {
      pivot += x > values[pivot] ? step : -step;
    }
    float value = values[pivot];
    if (x > value) {
      return x > (value + values[pivot + 1]) * 0.5f ? pivot + 1 : pivot;
    }
    return pivot > 0 && x < (value + values[pivot - 1]) * 0.5f ? pivot - 1 : pivot;
  }

  @Override
  public boolean equals(Object other) {
    return other instanceof DynamicMap map && Arrays.equals(values, map.values);
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(values);
  }
}
