package ai.nibble.gguf;

import ai.nibble.tensor.Float16;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * One super-block of a K type out of 256 float32 values.
 *
 * <p>Each sub-block is fitted by itself ({@link SubBlockFit}); the largest scale and the largest
 * minimum become the super-block's two binary16 numbers, of which the others are whole multiples.
 * What that rounding costs is made up for: of the multiples around the nearest, those with the
 * least error are taken, and the codes are chosen by the scales as they are stored. One instance
 * serves one thread.
 */
final class SuperBlockEncoder {
  private static final VarHandle SHORTS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);

  private static final int B = SuperBlock.ELEMENTS;

  private final GgmlType type;
  private final int width;
  private final int subBlocks;
  private final SubBlockFit fit;
  private final float[] scales;
  private final float[] mins;

  /** What is stored: multiples of the super-block's scale and minimum, and the codes. */
  private final int[] scaleCodes;

  private final int[] minCodes;
  private final int[] codes = new int[B];

  SuperBlockEncoder(GgmlType type) {
    this.type = type;
    this.width = type == GgmlType.Q4_K || type == GgmlType.Q5_K ? 32 : 16;
    this.subBlocks = B / width;
    this.fit =
        switch (type) {
          case Q2_K -> new SubBlockFit(width, 0, 3);
          case Q3_K -> new SubBlockFit(width, -4, 3);
          case Q4_K -> new SubBlockFit(width, 0, 15);
          case Q5_K -> new SubBlockFit(width, 0, 31);
          case Q6_K -> new SubBlockFit(width, -32, 31);
          default -> throw new IllegalArgumentException(type + " has no super-blocks");
        };
    this.scales = new float[subBlocks];
    this.mins = new float[subBlocks];
    this.scaleCodes = new int[subBlocks];
    this.minCodes = new int[subBlocks];
  }

  /** Encodes the values from {@code from} on to the bytes from {@code at} on. */
  void encode(float[] in, int from, byte[] out, int at) {
    Arrays.fill(out, at, at + type.blockBytes(), (byte) 0);
    switch (type) {
      case Q2_K -> {
        withMins(in, from, 15, out, at + 80);
        for (int j = 0; j < subBlocks; j++) {
          out[at + j] = (byte) (scaleCodes[j] | minCodes[j] << 4);
        }
      }
      case Q4_K, Q5_K -> {
        withMins(in, from, 63, out, at);
        for (int j = 0; j < subBlocks; j++) {
          SuperBlock.putScaleAndMin(out, at + 4, j, scaleCodes[j], minCodes[j]);
        }
      }
      case Q3_K -> {
        withoutMins(in, from, 32, out, at + 108);
        for (int j = 0; j < subBlocks; j++) {
          SuperBlock.putScaleQ3(out, at + 96, j, scaleCodes[j]);
        }
      }
      default -> {
        withoutMins(in, from, 128, out, at + 208);
        for (int j = 0; j < subBlocks; j++) {
          out[at + 192 + j] = (byte) scaleCodes[j];
        }
      }
    }
    for (int e = 0; e < B; e++) {
      putCode(out, at, e, codes[e]);
    }
  }

  private void putCode(byte[] out, int at, int e, int code) {
    switch (type) {
      case Q2_K -> SuperBlock.putPair(out, at + 16, e, code);
      case Q3_K -> {
        SuperBlock.putPair(out, at + 32, e, code & 3);
        SuperBlock.putBit(out, at, e, code >> 2);
      }
      case Q4_K -> SuperBlock.putNibble(out, at + 16, e, code);
      case Q5_K -> {
        SuperBlock.putNibble(out, at + 48, e, code & 15);
        SuperBlock.putBit(out, at + 16, e, code >> 4);
      }
      default -> {
        SuperBlock.putNibbleQ6(out, at, e, code & 15);
        SuperBlock.putPair(out, at + 128, e, code >> 4);
      }
    }
  }

  /**
   * Fills scales, minima and codes, and writes the super-block's scale and minimum.
   *
   * @param highest multiple
   */
  private void withMins(float[] in, int from, int highest, byte[] out, int at) {
    float maxScale = 0;
    float maxMin = 0;
    for (int j = 0; j < subBlocks; j++) {
      fit.take(in, from + j * width);
      fit.fitWithMin();
      scales[j] = fit.scale();
      mins[j] = fit.min();
      maxScale = Math.max(maxScale, scales[j]);
      maxMin = Math.max(maxMin, mins[j]);
    }
    float d = store(maxScale / highest, out, at);
    float dmin = store(maxMin / highest, out, at + 2);
    for (int j = 0; j < subBlocks; j++) {
      fit.take(in, from + j * width);
      int scale = nearest(scales[j], d, 0, highest);
      choose(j, scale, nearest(mins[j], dmin, 0, highest), d, dmin, highest);
      fit.codes(d * scaleCodes[j], dmin * minCodes[j], codes, j * width);
    }
  }

  /** The pair of multiples next to the given ones that has the least error. */
  private void choose(int j, int scale, int min, float d, float dmin, int highest) {
    float least = Float.POSITIVE_INFINITY;
    for (int s = Math.max(0, scale - 1); s <= Math.min(highest, scale + 1); s++) {
      for (int m = Math.max(0, min - 1); m <= Math.min(highest, min + 1); m++) {
        float error = fit.error(d * s, dmin * m);
        if (error < least) {
          least = error;
          scaleCodes[j] = s;
          minCodes[j] = m;
        }
      }
    }
  }

  /**
   * Fills scales and codes, and writes the super-block's scale, its sign such that the largest
   * scale is the lowest multiple: there is one more below 0 than above.
   *
   * @param half of the number of multiples, which begin at {@code -half}
   */
  private void withoutMins(float[] in, int from, int half, byte[] out, int at) {
    float extreme = 0;
    for (int j = 0; j < subBlocks; j++) {
      fit.take(in, from + j * width);
      fit.fitScale();
      scales[j] = fit.scale();
      extreme = Math.abs(scales[j]) > Math.abs(extreme) ? scales[j] : extreme;
    }
    float d = store(extreme / -half, out, at);
    for (int j = 0; j < subBlocks; j++) {
      fit.take(in, from + j * width);
      int scale = nearest(scales[j], d, -half, half - 1);
      float least = Float.POSITIVE_INFINITY;
      for (int s = Math.max(-half, scale - 1); s <= Math.min(half - 1, scale + 1); s++) {
        float error = fit.error(d * s, 0);
        if (error < least) {
          least = error;
          scaleCodes[j] = s;
        }
      }
      fit.codes(d * scaleCodes[j], 0, codes, j * width);
    }
  }

  private static int nearest(float value, float unit, int least, int most) {
    return unit == 0 ? 0 : Math.max(least, Math.min(most, Math.round(value / unit)));
  }

  /** Writes a number as binary16; the return value is what a reader will find. */
  private static float store(float value, byte[] out, int at) {
    short bits = Float16.of(value);
    SHORTS.set(out, at, bits);
    return Float16.toFloat(bits);
  }
}
