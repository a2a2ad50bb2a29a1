package ai.nibble.quant;

import ai.nibble.tensor.Float16;
import java.nio.ByteBuffer;

/**
 * To float16: the 16 products of a block are rounded once and looked up by nibble, since rounding
 * to float16 costs several times a lookup.
 */
final class Float16Decoder extends GroupDecoder {
  private final float[] codes;
  private final int[] pairs = new int[Dequantizer4Bit.CHUNK * Dequantizer4Bit.GROUP / 2];

  Float16Decoder(float[] codes) {
    super(Short.BYTES);
    this.codes = codes;
  }

  @Override
  void decode(long[] groups, int n, float[] scales, int phase, int shift) {
    int[] first = new int[16];
    int[] second = new int[16];
    int[] out = pairs;
    for (int g = 0, block = 0; g < n; block++) {
      float s = scales[block];
      for (int c = 0; c < 16; c++) {
        first[c] = Float16.of(codes[c] * s) & 0xffff;
        second[c] = first[c] << 16;
      }
      int end = Math.min(n, (block + 1 << shift) - phase);
      for (; g < end; g++) {
        long group = groups[g];
        int q = 8 * g;
        for (int j = 0; j < 8; j++) {
          int pair = (int) (group >>> 8 * j);
          out[q + j] = first[pair >>> 4 & 15] | second[pair & 15];
        }
      }
    }
  }

  @Override
  void put(ByteBuffer target, int words) {
    target.asIntBuffer().put(pairs, 0, words);
  }
}
