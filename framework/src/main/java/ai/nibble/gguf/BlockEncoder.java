package ai.nibble.gguf;

import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.Float16;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * float32 to whole blocks, type by type. The plain types and Q4_0, Q4_1, Q5_0, Q5_1, Q8_0 have one
 * rule, that of {@code gguf-py/gguf/quants.py}, and give its bytes; how the K types choose their
 * scales is up to the encoder: {@link SuperBlockEncoder}.
 *
 * <p>The largest magnitude of a block decides its scale, which is rounded to binary16 only when it
 * is stored: codes are chosen by the scale that was not rounded, as in the reference.
 */
final class BlockEncoder {
  private static final VarHandle SHORTS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle INTS =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle FLOATS =
      MethodHandles.byteArrayViewVarHandle(float[].class, ByteOrder.LITTLE_ENDIAN);

  /** Elements of a block of the types of this page that have blocks. */
  private static final int B = 32;

  private static final int HALF = B / 2;

  private BlockEncoder() {}

  /**
   * @param in {@code blocks * type.blockElements()} finite values from index 0 on
   * @param out receives {@code blocks * type.blockBytes()} bytes from {@code at} on
   */
  static void encode(GgmlType type, float[] in, int blocks, byte[] out, int at) {
    switch (type) {
      case F32 -> {
        for (int i = 0; i < blocks; i++) {
          FLOATS.set(out, at + 4 * i, in[i]);
        }
      }
      case F16 -> {
        for (int i = 0; i < blocks; i++) {
          SHORTS.set(out, at + 2 * i, Float16.of(in[i]));
        }
      }
      case BF16 -> {
        for (int i = 0; i < blocks; i++) {
          SHORTS.set(out, at + 2 * i, Bfloat16.of(in[i]));
        }
      }
      case Q4_0 -> signed(8, in, blocks, out, at);
      case Q5_0 -> signed(16, in, blocks, out, at);
      case Q4_1 -> ranged(15, in, blocks, out, at);
      case Q5_1 -> ranged(31, in, blocks, out, at);
      case Q8_0 -> q8x0(in, blocks, out, at);
      case Q2_K, Q3_K, Q4_K, Q5_K, Q6_K -> {
        SuperBlockEncoder encoder = new SuperBlockEncoder(type);
        for (int b = 0; b < blocks; b++) {
          encoder.encode(in, b * SuperBlock.ELEMENTS, out, at + b * type.blockBytes());
        }
      }
      default -> throw new IllegalArgumentException(type + " is not encoded");
    }
  }

  /**
   * Q4_0 and Q5_0: the value of largest magnitude becomes code 0, whatever its sign.
   *
   * @param zero the code of zero, half the number of codes
   */
  private static void signed(int zero, float[] in, int blocks, byte[] out, int at) {
    int bytes = zero == 8 ? 18 : 22;
    int[] codes = new int[B];
    for (int b = 0; b < blocks; b++, at += bytes) {
      float extreme = extreme(in, b * B);
      float d = extreme / -zero;
      float inverse = inverse(d);
      for (int i = 0; i < B; i++) {
        codes[i] = Math.min((int) (in[b * B + i] * inverse + (zero + 0.5f)), 2 * zero - 1);
      }
      SHORTS.set(out, at, Float16.of(d));
      pack(codes, zero == 16, out, at + 2);
    }
  }

  /**
   * Q4_1 and Q5_1: the least value becomes code 0, the greatest the highest code.
   *
   * @param highest the highest code
   */
  private static void ranged(int highest, float[] in, int blocks, byte[] out, int at) {
    int bytes = highest == 15 ? 20 : 24;
    int[] codes = new int[B];
    for (int b = 0; b < blocks; b++, at += bytes) {
      float min = in[b * B];
      float max = min;
      for (int i = 1; i < B; i++) {
        float x = in[b * B + i];
        min = x < min ? x : min;
        max = x > max ? x : max;
      }
      float d = (max - min) / highest;
      float inverse = inverse(d);
      for (int i = 0; i < B; i++) {
        codes[i] = Math.min((int) ((in[b * B + i] - min) * inverse + 0.5f), highest);
      }
      SHORTS.set(out, at, Float16.of(d));
      SHORTS.set(out, at + 2, Float16.of(min));
      pack(codes, highest == 31, out, at + 4);
    }
  }

  /** Low nibbles hold the first half, high ones the second; fifth bits go before them. */
  private static void pack(int[] codes, boolean fifthBits, byte[] out, int at) {
    if (fifthBits) {
      int high = 0;
      for (int i = 0; i < B; i++) {
        high |= codes[i] >> 4 << i;
      }
      INTS.set(out, at, high);
      at += Integer.BYTES;
    }
    for (int i = 0; i < HALF; i++) {
      out[at + i] = (byte) (codes[i] & 15 | codes[HALF + i] << 4);
    }
  }

  private static void q8x0(float[] in, int blocks, byte[] out, int at) {
    for (int b = 0; b < blocks; b++, at += 34) {
      float d = Math.abs(extreme(in, b * B)) / 127;
      float inverse = inverse(d);
      SHORTS.set(out, at, Float16.of(d));
      for (int i = 0; i < B; i++) {
        out[at + 2 + i] = (byte) roundAway(in[b * B + i] * inverse);
      }
    }
  }

  /** The first value of largest magnitude, with its sign. */
  private static float extreme(float[] in, int at) {
    float extreme = in[at];
    for (int i = 1; i < B; i++) {
      if (Math.abs(in[at + i]) > Math.abs(extreme)) {
        extreme = in[at + i];
      }
    }
    return extreme;
  }

  /** 0 for 0, and for numbers so small that their inverse is infinite: binary16 has them as 0. */
  private static float inverse(float d) {
    float inverse = 1 / d;
    return Float.isInfinite(inverse) ? 0 : inverse;
  }

  /** To nearest, halves away from zero. */
  private static int roundAway(float x) {
    int whole = (int) x;
    float rest = x - whole;
    return whole + (rest >= 0.5f ? 1 : rest <= -0.5f ? -1 : 0);
  }
}
