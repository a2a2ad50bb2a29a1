package ai.nibble.quant;

import java.nio.ByteBuffer;

/** To float32, kept as bits: two lookups by packed byte, two products. */
final class Float32Decoder extends GroupDecoder {
  private final float[] highs;
  private final float[] lows;
  private final int[] values = new int[Dequantizer4Bit.CHUNK * Dequantizer4Bit.GROUP];

  Float32Decoder(float[] codes) {
    super(Float.BYTES);
    highs = highs(codes);
    lows = lows(codes);
  }

  @Override
  void decode(long[] groups, int n, float[] scales, int phase, int shift) {
    multiply(groups, n, scales, phase, shift, values, highs, lows);
  }

  // Written for HotSpot as in BFloat16Decoder.
  private static void multiply(
      long[] groups,
      int n,
      float[] scales,
      int phase,
      int shift,
      int[] out,
      float[] highs,
      float[] lows) {
    float[] hi = new float[256];
    float[] lo = new float[256];
    System.arraycopy(highs, 0, hi, 0, 256);
    System.arraycopy(lows, 0, lo, 0, 256);
    for (int g = 0; g < n; g++) {
      float s = scales[g + phase >> shift];
      int x = (int) groups[g];
      int y = (int) (groups[g] >>> 32);
      int q = 16 * g;
      out[q] = bits(hi[x & 255] * s);
      out[q + 1] = bits(lo[x & 255] * s);
      out[q + 2] = bits(hi[x >>> 8 & 255] * s);
      out[q + 3] = bits(lo[x >>> 8 & 255] * s);
      out[q + 4] = bits(hi[x >>> 16 & 255] * s);
      out[q + 5] = bits(lo[x >>> 16 & 255] * s);
      out[q + 6] = bits(hi[x >>> 24] * s);
      out[q + 7] = bits(lo[x >>> 24] * s);
      out[q + 8] = bits(hi[y & 255] * s);
      out[q + 9] = bits(lo[y & 255] * s);
      out[q + 10] = bits(hi[y >>> 8 & 255] * s);
      out[q + 11] = bits(lo[y >>> 8 & 255] * s);
      out[q + 12] = bits(hi[y >>> 16 & 255] * s);
      out[q + 13] = bits(lo[y >>> 16 & 255] * s);
      out[q + 14] = bits(hi[y >>> 24] * s);
      out[q + 15] = bits(lo[y >>> 24] * s);
    }
  }

  private static int bits(float value) {
    return Float.floatToRawIntBits(value);
  }

  @Override
  void put(ByteBuffer target, int words) {
    target.asIntBuffer().put(values, 0, words);
  }
}
