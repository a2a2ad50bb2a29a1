package ai.nibble.quant;

import java.nio.ByteBuffer;

/**
 * To bfloat16, in two passes: products of the even and of the odd elements as float32 bits, then
 * rounding and pairing, which HotSpot turns into vector instructions.
 *
 * <p>For blocks of 64 this does less work than 16 rounded values a block would: their rounding
 * alone costs as much as both passes.
 */
final class BFloat16Decoder extends GroupDecoder {
  private static final int PAIRS = Dequantizer4Bit.CHUNK * Dequantizer4Bit.GROUP / 2;

  private final float[] highs;
  private final float[] lows;
  private final int[] even = new int[PAIRS];
  private final int[] odd = new int[PAIRS];

  BFloat16Decoder(float[] codes) {
    super(Short.BYTES);
    highs = highs(codes);
    lows = lows(codes);
  }

  @Override
  void decode(long[] groups, int n, float[] scales, int phase, int shift) {
    multiply(groups, n, scales, phase, shift);
    roundAndPair(even, odd, 8 * n);
  }

  private void multiply(long[] groups, int n, float[] scales, int phase, int shift) {
    // Copies whose length the compiler knows need no bounds check under an 8-bit index.
    float[] hi = new float[256];
    float[] lo = new float[256];
    System.arraycopy(highs, 0, hi, 0, 256);
    System.arraycopy(lows, 0, lo, 0, 256);
    int[] e = even;
    int[] o = odd;
    for (int g = 0; g < n; g++) {
      long group = groups[g];
      float s = scales[g + phase >> shift];
      int q = 8 * g;
      for (int j = 0; j < 8; j++) {
        int pair = (int) (group >>> 8 * j) & 255;
        e[q + j] = Float.floatToRawIntBits(hi[pair] * s);
        o[q + j] = Float.floatToRawIntBits(lo[pair] * s);
      }
    }
  }

  /** Rounds both to nearest even; the even element goes to the low half of the word. */
  private static void roundAndPair(int[] even, int[] odd, int n) {
    for (int k = 0; k < n; k++) {
      int x = even[k];
      int y = odd[k];
      even[k] = x + 0x7FFF + (x >>> 16 & 1) >>> 16 | y + 0x7FFF + (y >>> 16 & 1) & 0xFFFF0000;
    }
  }

  @Override
  void put(ByteBuffer target, int words) {
    target.asIntBuffer().put(even, 0, words);
  }
}
