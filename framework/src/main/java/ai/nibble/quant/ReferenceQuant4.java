package ai.nibble.quant;

/**
 * 4-bit quantisation written for reading: one element at a time, on heap arrays. The fast paths
 * must give these bits exactly. Source: bitsandbytes 0.50, CPU backend.
 */
final class ReferenceQuant4 {
  private ReferenceQuant4() {}

  /**
   * @param packed two codes a byte, the first in the high nibble
   * @param absmax float32, one a block
   */
  record Blocks(byte[] packed, float[] absmax) {}

  /** Quantises finite float32 values. */
  static Blocks quantize(float[] values, Quant4Type type, int blockSize) {
    int n = values.length;
    byte[] packed = new byte[(n + 1) / 2];
    float[] absmax = new float[(n + blockSize - 1) / blockSize];
    for (int i = 0; i < 2 * packed.length; i++) {
      float x = 0; // an odd length is filled up with the code of zero
      if (i < n) {
        int block = i / blockSize;
        int end = Math.min(n, (block + 1) * blockSize);
        float max = 0;
        for (int k = block * blockSize; k < end; k++) {
          max = Math.max(max, Math.abs(values[k]));
        }
        boolean full = end == (block + 1) * blockSize;
        float divisor = Math.max(max, 1e-38f);
        x = full ? values[i] * (1f / divisor) : values[i] / divisor;
        absmax[block] = full ? max : divisor;
      }
      packed[i / 2] |= (byte) (i % 2 == 0 ? code(type, x) << 4 : code(type, x));
    }
    return new Blocks(packed, absmax);
  }

  /** The code of a normalised value: how many thresholds lie strictly below it, by rank. */
  static int code(Quant4Type type, float x) {
    int rank = 0;
    for (float threshold : type.thresholds()) {
      if (x > threshold) {
        rank++;
      }
    }
    return type.codeOfRank(rank);
  }

  /** The float32 value of element i. */
  static float value(byte[] packed, float absmax, Quant4Type type, int i) {
    int code = i % 2 == 0 ? packed[i / 2] >> 4 & 15 : packed[i / 2] & 15;
    return type.codes()[code] * absmax;
  }

  /** Double quantisation of absmax values: one index a block goes to {@code indices}. */
  static NestedAbsmax quantizeAbsmax(float[] absmax, byte[] indices) {
    double sum = 0;
    for (float a : absmax) {
      sum += a;
    }
    float offset = absmax.length == 0 ? 0 : (float) (sum / absmax.length);
    float[] absmax2 = new float[(absmax.length + 255) / 256];
    for (int b = 0; b < absmax.length; b++) {
      absmax2[b / 256] = Math.max(absmax2[b / 256], Math.abs(absmax[b] - offset));
    }
    for (int b = 0; b < absmax.length; b++) {
      float residual = absmax[b] - offset;
      float max = absmax2[b / 256];
      boolean invertible = 1f / max < Float.POSITIVE_INFINITY; // not so for the least subnormals
      float x = invertible ? residual * (1f / max) : residual / max;
      indices[b] = (byte) (max == 0 ? 0 : nearest(x));
    }
    return new NestedAbsmax(absmax2, SignedDynamicMap.values(), offset);
  }

  /** The nearest entry of the dynamic map; half way between two, the even index. */
  static int nearest(float x) {
    float[] map = SignedDynamicMap.values();
    int nearest = 0;
    for (int i = 0; i < 255; i++) {
      float middle = (map[i] + map[i + 1]) * 0.5f;
      if (x > middle || x == middle && (i + 1) % 2 == 0) {
        nearest = i + 1;
      }
    }
    return nearest;
  }
}
