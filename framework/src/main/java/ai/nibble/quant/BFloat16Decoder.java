package ai.nibble.quant;

import ai.nibble.quant.vector.Decode512;
import java.nio.ByteBuffer;

/**
 * To bfloat16, in two passes: products of the even and of the odd elements as float32 bits, then
 * rounding and pairing, which HotSpot turns into vector instructions.
 *
 * <p>For blocks of 64 this does less work than 16 rounded values a block would: their rounding
 * alone costs as much as both passes. In 512-bit registers that rounding is a few instructions, and
 * {@link Decode512} does all at once.
 */
final class BFloat16Decoder extends GroupDecoder {
  private static final int PAIRS = Dequantizer4Bit.CHUNK * Dequantizer4Bit.GROUP / 2;

  private final float[] codes;
  private final float[] highs;
  private final float[] lows;
  private final int[] even = new int[PAIRS];
  private final int[] odd = new int[PAIRS];

  BFloat16Decoder(float[] codes) {
    super(Short.BYTES);
    this.codes = codes;
    highs = highs(codes);
    lows = lows(codes);
  }

  @Override
  void decode(long[] groups, int n, float[] scales, int phase, int shift) {
    if (PackedProduct.isAvailable() && phase % 2 == 0) {
      // units of two groups; of an odd number of groups the last unit has a half that nobody reads
      Decode512.bfloat16(codes, groups, (n + 1) / 2, scales, phase / 2, shift - 1, even);
      return;
    }
    multiply(groups, n, scales, phase, shift, even, odd, highs, lows);
    roundAndPair(even, odd, 8 * n);
  }

  // Written for HotSpot, JDK 17: the eight bytes unrolled by hand (a loop takes twice the time),
  // all
  // arrays as arguments (read from fields, a third more), and tables copied into arrays whose
  // length
  // the compiler knows, so that an 8-bit index needs no bounds check.
  private static void multiply(
      long[] groups,
      int n,
      float[] scales,
      int phase,
      int shift,
      int[] e,
      int[] o,
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
      int q = 8 * g;
      e[q] = bits(hi[x & 255] * s);
      o[q] = bits(lo[x & 255] * s);
      e[q + 1] = bits(hi[x >>> 8 & 255] * s);
      o[q + 1] = bits(lo[x >>> 8 & 255] * s);
      e[q + 2] = bits(hi[x >>> 16 & 255] * s);
      o[q + 2] = bits(lo[x >>> 16 & 255] * s);
      e[q + 3] = bits(hi[x >>> 24] * s);
      o[q + 3] = bits(lo[x >>> 24] * s);
      e[q + 4] = bits(hi[y & 255] * s);
      o[q + 4] = bits(lo[y & 255] * s);
      e[q + 5] = bits(hi[y >>> 8 & 255] * s);
      o[q + 5] = bits(lo[y >>> 8 & 255] * s);
      e[q + 6] = bits(hi[y >>> 16 & 255] * s);
      o[q + 6] = bits(lo[y >>> 16 & 255] * s);
      e[q + 7] = bits(hi[y >>> 24] * s);
      o[q + 7] = bits(lo[y >>> 24] * s);
    }
  }

  private static int bits(float value) {
    return Float.floatToRawIntBits(value);
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
