package ai.nibble.gguf;

import ai.nibble.tensor.Float16;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Whole blocks to float32, type by type: the arithmetic of {@code gguf-py/gguf/quants.py}, bit for
 * bit.
 */
final class BlockDecoder {
  private static final VarHandle SHORTS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle INTS =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);

  /** Elements of a block of the types of this page that have blocks. */
  private static final int B = 32;

  private static final int HALF = B / 2;

  /** The values of IQ4's codes, closer together around 0, as weights are. */
  static final byte[] IQ4 = {
    -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113
  };

  private BlockDecoder() {}

  /**
   * @param in {@code blocks} blocks from index 0 on
   * @param out receives {@code blocks * type.blockElements()} values from {@code offset} on
   */
  static void decode(GgmlType type, byte[] in, int blocks, float[] out, int offset) {
    switch (type) {
      case F32 ->
          ByteBuffer.wrap(in)
              .order(ByteOrder.LITTLE_ENDIAN)
              .asFloatBuffer()
              .get(out, offset, blocks);
      case F16 -> {
        for (int i = 0; i < blocks; i++) {
          out[offset + i] = half(in, 2 * i);
        }
      }
      case BF16 -> {
        for (int i = 0; i < blocks; i++) {
          out[offset + i] = Float.intBitsToFloat((short) SHORTS.get(in, 2 * i) << 16);
        }
      }
      case Q4_0 -> q4x0(in, blocks, out, offset);
      case Q4_1 -> q4x1(in, blocks, out, offset);
      case Q5_0 -> q5x0(in, blocks, out, offset);
      case Q5_1 -> q5x1(in, blocks, out, offset);
      case Q8_0 -> q8x0(in, blocks, out, offset);
      case IQ4_NL -> iq4nl(in, blocks, out, offset);
      case Q2_K -> SuperBlockDecoder.q2k(in, blocks, out, offset);
      case Q3_K -> SuperBlockDecoder.q3k(in, blocks, out, offset);
      case Q4_K -> SuperBlockDecoder.q4k(in, blocks, out, offset);
      case Q5_K -> SuperBlockDecoder.q5k(in, blocks, out, offset);
      case Q6_K -> SuperBlockDecoder.q6k(in, blocks, out, offset);
      case IQ4_XS -> SuperBlockDecoder.iq4xs(in, blocks, out, offset);
      default -> throw new IllegalArgumentException(type + " is not decoded");
    }
  }

  private static void q4x0(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 18, offset += B) {
      float d = half(in, at);
      for (int i = 0; i < HALF; i++) {
        int q = in[at + 2 + i];
        out[offset + i] = d * ((q & 15) - 8);
        out[offset + HALF + i] = d * ((q >> 4 & 15) - 8);
      }
    }
  }

  private static void q4x1(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 20, offset += B) {
      float d = half(in, at);
      float m = half(in, at + 2);
      for (int i = 0; i < HALF; i++) {
        int q = in[at + 4 + i];
        out[offset + i] = d * (q & 15) + m;
        out[offset + HALF + i] = d * (q >> 4 & 15) + m;
      }
    }
  }

  private static void q5x0(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 22, offset += B) {
      float d = half(in, at);
      int qh = (int) INTS.get(in, at + 2);
      for (int i = 0; i < HALF; i++) {
        int q = in[at + 6 + i];
        out[offset + i] = d * ((q & 15 | (qh >> i & 1) << 4) - 16);
        out[offset + HALF + i] = d * ((q >> 4 & 15 | (qh >> i + HALF & 1) << 4) - 16);
      }
    }
  }

  private static void q5x1(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 24, offset += B) {
      float d = half(in, at);
      float m = half(in, at + 2);
      int qh = (int) INTS.get(in, at + 4);
      for (int i = 0; i < HALF; i++) {
        int q = in[at + 8 + i];
        out[offset + i] = d * (q & 15 | (qh >> i & 1) << 4) + m;
        out[offset + HALF + i] = d * (q >> 4 & 15 | (qh >> i + HALF & 1) << 4) + m;
      }
    }
  }

  private static void q8x0(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 34, offset += B) {
      float d = half(in, at);
      for (int i = 0; i < B; i++) {
        out[offset + i] = d * in[at + 2 + i];
      }
    }
  }

  private static void iq4nl(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 18, offset += B) {
      float d = half(in, at);
      for (int i = 0; i < HALF; i++) {
        int q = in[at + 2 + i];
        out[offset + i] = d * IQ4[q & 15];
        out[offset + HALF + i] = d * IQ4[q >> 4 & 15];
      }
    }
  }

  /** The binary16 number at a byte. */
  private static float half(byte[] in, int at) {
    return Float16.toFloat((short) SHORTS.get(in, at));
  }
}
