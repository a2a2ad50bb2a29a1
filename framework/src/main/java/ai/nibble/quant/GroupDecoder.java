package ai.nibble.quant;

import ai.nibble.tensor.DType;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Turns groups of 16 codes and their scales into values of one dtype, on heap arrays. An instance
 * holds the values of its last chunk; one thread uses it.
 */
abstract sealed class GroupDecoder
    permits Float32Decoder, BFloat16Decoder, Float16Decoder, ZeroPointDecoder {
  private final int unit;

  GroupDecoder(int unit) {
    this.unit = unit;
  }

  /**
   * A decoder.
   *
   * @param codes what the 16 codes stand for
   * @param zeros whether blocks have zeros
   */
  static GroupDecoder of(DType dtype, float[] codes, boolean zeros) {
    if (zeros) {
      return new ZeroPointDecoder(dtype, codes);
    }
    return switch (dtype) {
      case FLOAT32 -> new Float32Decoder(codes);
      case BFLOAT16 -> new BFloat16Decoder(codes);
      case FLOAT16 -> new Float16Decoder(codes);
      default -> throw new IllegalArgumentException("no 4-bit decoding to " + dtype.torchName());
    };
  }

  /** Takes the zeros of the blocks that the next chunk touches, each from 0 to 255. */
  void zeros(byte[] zeros) {
    throw new IllegalStateException("blocks have no zeros");
  }

  /**
   * Decodes a chunk.
   *
   * @param groups 16 codes each, lowest byte first, high nibble first
   * @param n groups, at most {@link Dequantizer4Bit#CHUNK}
   * @param scales of the blocks that the chunk touches
   * @param phase groups of the first block that lie before the chunk
   * @param shift binary logarithm of the groups in a block
   */
  abstract void decode(long[] groups, int n, float[] scales, int phase, int shift);

  /** Puts the first {@code words} 4-byte words of the decoded values at the buffer's position. */
  abstract void put(ByteBuffer target, int words);

  /** Writes values {@code [skip, skip + count)} of the chunk at the target's position. */
  final void write(ByteBuffer target, int skip, int count) {
    int bytes = count * unit;
    if (skip == 0 && bytes % 4 == 0) {
      put(target, bytes / 4);
      return;
    }
    ByteBuffer whole =
        ByteBuffer.allocate(Dequantizer4Bit.CHUNK * Dequantizer4Bit.GROUP * unit)
            .order(ByteOrder.LITTLE_ENDIAN);
    put(whole, whole.capacity() / 4);
    target.put(target.position(), whole, skip * unit, bytes);
  }

  /** By packed byte: the value of its high nibble. */
  static float[] highs(float[] codes) {
    float[] table = new float[256];
    for (int b = 0; b < 256; b++) {
      table[b] = codes[b >> 4];
    }
    return table;
  }

  /** By packed byte: the value of its low nibble. */
  static float[] lows(float[] codes) {
    float[] table = new float[256];
    for (int b = 0; b < 256; b++) {
      table[b] = codes[b & 15];
    }
    return table;
  }
}
