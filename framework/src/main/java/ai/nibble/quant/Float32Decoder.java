package ai.nibble.quant;

import java.nio.ByteBuffer;

/** To float32: two lookups by packed byte, two products. */
final class Float32Decoder extends GroupDecoder {
  private final float[] highs;
  private final float[] lows;
  private final float[] values = new float[Dequantizer4Bit.CHUNK * Dequantizer4Bit.GROUP];

  Float32Decoder(float[] codes) {
    super(Float.BYTES);
    highs = highs(codes);
    lows = lows(codes);
  }

  @Override
  void decode(long[] groups, int n, float[] scales, int phase, int shift) {
    // Copies whose length the compiler knows need no bounds check under an 8-bit index.
    float[] hi = new float[256];
    float[] lo = new float[256];
    System.arraycopy(highs, 0, hi, 0, 256);
    System.arraycopy(lows, 0, lo, 0, 256);
    float[] out = values;
    for (int g = 0; g < n; g++) {
      float s = scales[g + phase >> shift];
      int x = (int) groups[g];
      int y = (int) (groups[g] >>> 32);
      int q = 16 * g;
      out[q] = hi[x & 255] * s;
      out[q + 1] = lo[x & 255] * s;
      out[q + 2] = hi[x >>> 8 & 255] * s;
      out[q + 3] = lo[x >>> 8 & 255] * s;
      out[q + 4] = hi[x >>> 16 & 255] * s;
      out[q + 5] = lo[x >>> 16 & 255] * s;
      out[q + 6] = hi[x >>> 24] * s;
      out[q + 7] = lo[x >>> 24] * s;
      out[q + 8] = hi[y & 255] * s;
      out[q + 9] = lo[y & 255] * s;
      out[q + 10] = hi[y >>> 8 & 255] * s;
      out[q + 11] = lo[y >>> 8 & 255] * s;
      out[q + 12] = hi[y >>> 16 & 255] * s;
      out[q + 13] = lo[y >>> 16 & 255] * s;
      out[q + 14] = hi[y >>> 24] * s;
      out[q + 15] = lo[y >>> 24] * s;
    }
  }

  @Override
  void put(ByteBuffer target, int words) {
    target.asFloatBuffer().put(values, 0, words);
  }
}
