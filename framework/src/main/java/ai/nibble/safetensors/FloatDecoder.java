package ai.nibble.safetensors;

import ai.nibble.InvalidInputException;
import ai.nibble.tensor.Float16;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Path;

/** Little-endian floating-point elements to float32, in bulk. */
enum FloatDecoder {
  F32(4) {
    @Override
    void decode(byte[] in, int count, float[] out, int offset) {
      ByteBuffer.wrap(in).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(out, offset, count);
    }
  },
  F16(2) {
    @Override
    void decode(byte[] in, int count, float[] out, int offset) {
      for (int i = 0; i < count; i++) {
        out[offset + i] = Float16.toFloat((short) SHORTS.get(in, 2 * i));
      }
    }
  },
  BF16(2) {
    @Override
    void decode(byte[] in, int count, float[] out, int offset) {
      // A bfloat16 is the upper half of a float32. Four at a time: one load, four stores.
      int i = 0;
      for (; i + 4 <= count; i += 4) {
        long four = (long) LONGS.get(in, 2 * i);
        out[offset + i] = Float.intBitsToFloat((int) four << 16);
        out[offset + i + 1] = Float.intBitsToFloat((int) four & 0xffff0000);
        out[offset + i + 2] = Float.intBitsToFloat((int) (four >>> 16) & 0xffff0000);
        out[offset + i + 3] = Float.intBitsToFloat((int) (four >>> 32) & 0xffff0000);
      }
      for (; i < count; i++) {
        out[offset + i] = Float.intBitsToFloat((short) SHORTS.get(in, 2 * i) << 16);
      }
    }
  },
  F64(8) {
    @Override
    void decode(byte[] in, int count, float[] out, int offset) {
      for (int i = 0; i < count; i++) {
        out[offset + i] = (float) Double.longBitsToDouble((long) LONGS.get(in, 8 * i));
      }
    }
  };

  /** Small enough to stay in a core's cache between reading and decoding; a multiple of 8. */
  static final int CHUNK_BYTES = 1 << 16;

  private static final VarHandle SHORTS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
  private static final VarHandle LONGS =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.LITTLE_ENDIAN);

  private final int bytes;

  FloatDecoder(int bytes) {
    this.bytes = bytes;
  }

  /**
   * @throws InvalidInputException if the tensor's elements are none of F64, F32, F16, BF16
   */
  static FloatDecoder of(Path path, SafetensorsTensor tensor) {
    return switch (tensor.type()) {
      case F32 -> F32;
      case F16 -> F16;
      case BF16 -> BF16;
      case F64 -> F64;
      default ->
          throw new InvalidInputException(
              "%s: tensor '%s' has dtype %s, expected one of [F32, F16, BF16, F64]; quantised and"
                      .formatted(path, tensor.name(), tensor.type())
                  + " fp8 checkpoints must be read by what wrote them or converted");
    };
  }

  /** Bytes of one element. */
  int bytes() {
    return bytes;
  }

  /** A buffer for {@code count} elements or one chunk, whichever is less. */
  ByteBuffer chunk(int count) {
    return ByteBuffer.allocate((int) Math.min((long) count * bytes, CHUNK_BYTES));
  }

  /**
   * @param in {@code count} elements from index 0 on
   */
  abstract void decode(byte[] in, int count, float[] out, int offset);
}
