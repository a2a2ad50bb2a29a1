package ai.nibble.quant;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Float16;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.IntBuffer;
import java.nio.ShortBuffer;

/** A run of float32, bfloat16 or float16 values, read as float32 bits; threads may share it. */
interface FloatSource {
  /** Converts {@code n} values from the given one on, exactly, into {@code bits[0, n)}. */
  void load(int from, int n, int[] bits);

  /** The values of a heap array. */
  static FloatSource of(float[] values) {
    return (from, n, bits) -> {
      for (int k = 0; k < n; k++) {
        bits[k] = Float.floatToRawIntBits(values[from + k]);
      }
    };
  }

  /** The bytes between a buffer's position and limit, little-endian. */
  static FloatSource of(ByteBuffer values, DType dtype) {
    ByteBuffer bytes = values.slice().order(ByteOrder.LITTLE_ENDIAN);
    if (dtype == DType.FLOAT32) {
      IntBuffer ints = bytes.asIntBuffer();
      return (from, n, bits) -> ints.get(from, bits, 0, n);
    }
    ShortBuffer shorts = bytes.asShortBuffer();
    if (dtype == DType.BFLOAT16) {
      return (from, n, bits) -> {
        short[] halves = new short[n];
        shorts.get(from, halves, 0, n);
        for (int k = 0; k < n; k++) {
          bits[k] = halves[k] << 16;
        }
      };
    }
    return (from, n, bits) -> {
      short[] halves = new short[n];
      shorts.get(from, halves, 0, n);
      for (int k = 0; k < n; k++) {
        bits[k] = Float.floatToRawIntBits(Float16.toFloat(halves[k]));
      }
    };
  }
}
