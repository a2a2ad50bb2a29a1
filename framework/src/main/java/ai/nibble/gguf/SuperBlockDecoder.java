package ai.nibble.gguf;

import ai.nibble.tensor.Float16;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;

/**
 * Whole super-blocks, of the K types and IQ4_XS, to float32: the arithmetic of {@code
 * gguf-py/gguf/quants.py}, bit for bit.
 */
final class SuperBlockDecoder {
  private static final VarHandle SHORTS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);

  private static final int B = SuperBlock.ELEMENTS;

  private SuperBlockDecoder() {}

  static void q2k(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 84, offset += B) {
      float d = half(in, at + 80);
      float dmin = half(in, at + 82);
      for (int j = 0; j < B / 16; j++) {
        float scale = d * (in[at + j] & 15);
        float min = dmin * (in[at + j] >> 4 & 15);
        for (int e = 16 * j; e < 16 * j + 16; e++) {
          out[offset + e] = scale * SuperBlock.pair(in, at + 16, e) - min;
        }
      }
    }
  }

  static void q3k(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 110, offset += B) {
      float d = half(in, at + 108);
      for (int j = 0; j < B / 16; j++) {
        float scale = d * SuperBlock.scaleQ3(in, at + 96, j);
        for (int e = 16 * j; e < 16 * j + 16; e++) {
          int q = SuperBlock.pair(in, at + 32, e) | SuperBlock.bit(in, at, e) << 2;
          out[offset + e] = scale * (q - 4);
        }
      }
    }
  }

  static void q4k(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 144, offset += B) {
      float d = half(in, at);
      float dmin = half(in, at + 2);
      for (int j = 0; j < B / 32; j++) {
        float scale = d * SuperBlock.scale(in, at + 4, j);
        float min = dmin * SuperBlock.min(in, at + 4, j);
        for (int e = 32 * j; e < 32 * j + 32; e++) {
          out[offset + e] = scale * SuperBlock.nibble(in, at + 16, e) - min;
        }
      }
    }
  }

  static void q5k(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 176, offset += B) {
      float d = half(in, at);
      float dmin = half(in, at + 2);
      for (int j = 0; j < B / 32; j++) {
        float scale = d * SuperBlock.scale(in, at + 4, j);
        float min = dmin * SuperBlock.min(in, at + 4, j);
        for (int e = 32 * j; e < 32 * j + 32; e++) {
          int q = SuperBlock.nibble(in, at + 48, e) | SuperBlock.bit(in, at + 16, e) << 4;
          out[offset + e] = scale * q - min;
        }
      }
    }
  }

  static void q6k(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 210, offset += B) {
      float d = half(in, at + 208);
      for (int j = 0; j < B / 16; j++) {
        float scale = d * in[at + 192 + j];
        for (int e = 16 * j; e < 16 * j + 16; e++) {
          int q = SuperBlock.nibbleQ6(in, at, e) | SuperBlock.pair(in, at + 128, e) << 4;
          out[offset + e] = scale * (q - 32);
        }
      }
    }
  }

  static void iq4xs(byte[] in, int blocks, float[] out, int offset) {
    for (int b = 0, at = 0; b < blocks; b++, at += 136, offset += B) {
      float d = half(in, at);
      int high = (short) SHORTS.get(in, at + 2);
      for (int j = 0; j < B / 32; j++) {
        int low = in[at + 4 + j / 2] >> (j % 2 << 2) & 15;
        float scale = d * ((low | (high >> 2 * j & 3) << 4) - 32);
        for (int i = 0; i < 16; i++) {
          int q = in[at + 8 + 16 * j + i];
          out[offset + 32 * j + i] = scale * BlockDecoder.IQ4[q & 15];
          out[offset + 32 * j + 16 + i] = scale * BlockDecoder.IQ4[q >> 4 & 15];
        }
      }
    }
  }

  /** The binary16 number at a byte. */
  private static float half(byte[] in, int at) {
    return Float16.toFloat((short) SHORTS.get(in, at));
  }
}
