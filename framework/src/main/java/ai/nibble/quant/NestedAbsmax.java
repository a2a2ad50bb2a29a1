package ai.nibble.quant;

import ai.nibble.cuda.NestedTables;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;

/**
 * What recovers the absmax of double-quantised weights from one byte a block: {@code absmax[b] =
 * map[index[b]] · absmax2[b / 256] + offset}, the product and the sum each rounded to float32.
 *
 * <p>Instances are immutable. QLoRA (Dettmers et al. 2023), section 3.
 */
public final class NestedAbsmax {
  /** Weight blocks that share one second-level absmax; bitsandbytes fixes it. */
  public static final int BLOCK_SIZE = 256;

  private final float[] absmax2;
  private final float[] map;
  private final float offset;

  /**
   * @param absmax2 one value for each 256 weight blocks, {@code nested_absmax}; copied
   * @param map the 256 values that an index stands for, {@code nested_quant_map}; copied
   * @param offset {@code nested_offset}
   */
  public NestedAbsmax(float[] absmax2, float[] map, float offset) {
    if (map.length != SignedDynamicMap.SIZE) {
      throw new IllegalArgumentException("map of " + map.length + " values, expected 256");
    }
    this.absmax2 = absmax2.clone();
    this.map = map.clone();
    this.offset = offset;
  }

  /** A copy of the second-level absmax. */
  public float[] absmax2() {
    return absmax2.clone();
  }

  /** A copy of the map. */
  public float[] map() {
    return map.clone();
  }

  /** The mean absmax, subtracted before the residuals were quantised. */
  public float offset() {
    return offset;
  }

  /** Number of second-level blocks. */
  public int blocks() {
    return absmax2.length;
  }

  /**
   * The absmax of one weight block.
   *
   * @param block number of the weight block
   * @param index its stored byte, 0 to 255
   */
  public float recover(long block, int index) {
    float residual = map[index] * absmax2[(int) (block / BLOCK_SIZE)];
    return residual + offset;
  }

  /**
   * The absmax of consecutive weight blocks.
   *
   * @param first number of the first of them
   * @param indices their stored bytes
   * @param into receives the values
   */
  void recover(long first, byte[] indices, float[] into, int n) {
    for (int b = 0; b < n; ) {
      long block = first + b;
      int end = (int) Math.min(n, b + BLOCK_SIZE - block % BLOCK_SIZE);
      float scale = absmax2[(int) (block / BLOCK_SIZE)];
      for (; b < end; b++) {
        float residual = map[indices[b] & 0xFF] * scale;
        into[b] = residual + offset;
      }
    }
  }

  /** Whether the map is the one that this project quantises with. */
  public boolean hasStandardMap() {
    return SignedDynamicMap.is(map);
  }

  /** A copy on a device, as its kernels take it; the caller closes its tensors. */
  NestedTables to(Device device) {
    try (Tensor level2 = Tensor.of(absmax2, absmax2.length);
        Tensor values = Tensor.of(map, map.length);
        Scope scope = new Scope()) {
      NestedTables tables =
          new NestedTables(scope.own(level2.to(device)), scope.own(values.to(device)), offset);
      scope.release();
      return tables;
    }
  }

  /** Bytes of the second-level absmax; the map and offset are the same size for every weight. */
  public long bytes() {
    return (long) absmax2.length * Float.BYTES;
  }

  /**
   * Quantises all absmax values of a weight. The offset is their mean, summed in double in index
   * order and rounded once, so it depends on the values alone; bitsandbytes' float32 sum depends on
   * the machine.
   *
   * @param absmax finite float32 values, one a weight block
   * @param indices receives one byte for each
   */
  static NestedAbsmax quantize(FloatBuffer absmax, ByteBuffer indices) {
    int n = absmax.limit();
    double sum = 0;
    for (int b = 0; b < n; b++) {
      sum += absmax.get(b);
    }
    float offset = n == 0 ? 0f : (float) (sum / n);
    float[] absmax2 = new float[n / BLOCK_SIZE + (n % BLOCK_SIZE == 0 ? 0 : 1)];
    for (int j = 0; j < absmax2.length; j++) {
      int begin = j * BLOCK_SIZE;
      int end = Math.min(n, begin + BLOCK_SIZE);
      float max = 0;
      for (int b = begin; b < end; b++) {
        max = Math.max(max, Math.abs(absmax.get(b) - offset));
      }
      absmax2[j] = max;
      for (int b = begin; b < end; b++) {
        indices.put(b, (byte) index(absmax.get(b) - offset, max));
      }
    }
    return new NestedAbsmax(absmax2, SignedDynamicMap.values(), offset);
  }

  private static int index(float residual, float max) {
    if (max == 0) {
      return 0; // every index recovers the offset; bitsandbytes stores 0
    }
    float reciprocal = 1f / max;
    // Of the smallest subnormals the reciprocal is infinite, the quotient is not.
    return SignedDynamicMap.nearest(
        Float.isInfinite(reciprocal) ? residual / max : residual * reciprocal);
  }

  @Override
  public String toString() {
    return "NestedAbsmax[absmax2="
        + Arrays.toString(Arrays.copyOf(absmax2, Math.min(4, absmax2.length)))
        + ", offset="
        + offset
        + "]";
  }
}
