package ai.nibble.quant;

import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Float16;
import java.nio.ByteBuffer;

/**
 * For blocks with a zero beside their scale: the 16 values of a block are computed and rounded
 * once, and looked up by nibble.
 */
final class ZeroPointDecoder extends GroupDecoder {
  private final DType dtype;
  private final float[] codes;
  private final int[] words;
  private byte[] zeros;

  ZeroPointDecoder(DType dtype, float[] codes) {
    super(dtype.bytes());
    this.dtype = dtype;
    this.codes = codes;
    this.words = new int[Dequantizer4Bit.CHUNK * Dequantizer4Bit.GROUP * dtype.bytes() / 4];
  }

  @Override
  void zeros(byte[] ofBlocks) {
    zeros = ofBlocks;
  }

  @Override
  void decode(long[] groups, int n, float[] scales, int phase, int shift) {
    int[] values = new int[16];
    for (int g = 0, block = 0; g < n; block++) {
      int zero = zeros[block] & 0xFF;
      for (int c = 0; c < 16; c++) {
        values[c] = bits((codes[c] - zero) * scales[block]);
      }
      int end = Math.min(n, (block + 1 << shift) - phase);
      if (dtype == DType.FLOAT32) {
        single(groups, g, end, values);
      } else {
        pairs(groups, g, end, values);
      }
      g = end;
    }
  }

  private int bits(float value) {
    return switch (dtype) {
      case FLOAT32 -> Float.floatToRawIntBits(value);
      case BFLOAT16 -> Bfloat16.of(value) & 0xFFFF;
      case FLOAT16 -> Float16.of(value) & 0xFFFF;
      default -> throw new IllegalArgumentException("no 4-bit decoding to " + dtype.torchName());
    };
  }

  /** A word a value. */
  private void single(long[] groups, int from, int end, int[] values) {
    int[] out = words;
    for (int g = from; g < end; g++) {
      long group = groups[g];
      int q = 16 * g;
      for (int j = 0; j < 8; j++) {
        int pair = (int) (group >>> 8 * j);
        out[q + 2 * j] = values[pair >>> 4 & 15];
        out[q + 2 * j + 1] = values[pair & 15];
      }
    }
  }

  /** A word two values, the first of them in the low half. */
  private void pairs(long[] groups, int from, int end, int[] values) {
    int[] out = words;
    for (int g = from; g < end; g++) {
      long group = groups[g];
      int q = 8 * g;
      for (int j = 0; j < 8; j++) {
        int pair = (int) (group >>> 8 * j);
        out[q + j] = values[pair >>> 4 & 15] | values[pair & 15] << 16;
      }
    }
  }

  @Override
  void put(ByteBuffer target, int count) {
    target.asIntBuffer().put(words, 0, count);
  }
}
