package ai.nibble.nn;

import ai.nibble.nn.vector.Pairs512;
import ai.nibble.nn.vector.Rotary512;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.function.Function;

/**
 * Cosines and sines of rotary position embedding (Su et al. 2021), float32, computed once for the
 * positions in use. The two halves of a head rotate against each other (element i with i + D/2), as
 * Hugging Face lays weights out; of a head that is rotated in part, those of its first elements.
 * There may be a second set of frequencies, for all positions of sequences beyond a length
 * (LongRoPE, Ding et al. 2024). For kernels it holds a copy on the device, and where the tokens of
 * the last pass were; close it to free them.
 */
public final class RotaryTable implements AutoCloseable {
  private final int headDim;
  private final float attentionFactor;
  private final Angles angles;
  private final Angles longAngles;
  private final int longestShort;
  private Tensor deviceCos;
  private Tensor deviceSin;
  private Pass lastPass;
  private DevicePass last;

  /**
   * @param inverseFrequencies one a pair of elements, {@code [D/2]}
   * @param attentionFactor multiplies cosines and sines (YaRN); 1 otherwise
   */
  public RotaryTable(float[] inverseFrequencies, double attentionFactor) {
    this(inverseFrequencies, attentionFactor, 2 * inverseFrequencies.length);
  }

  /**
   * A table for heads of which the first elements are rotated.
   *
   * @param inverseFrequencies one a pair of rotated elements
   * @param headDim elements of a head, D
   */
  public RotaryTable(float[] inverseFrequencies, double attentionFactor, int headDim) {
    this(inverseFrequencies, attentionFactor, headDim, null, Integer.MAX_VALUE);
  }

  /**
   * A table with other frequencies for sequences that are longer.
   *
   * @param longFrequencies as many as inverseFrequencies
   * @param longestShort tokens up to which a sequence has the first frequencies
   */
  public RotaryTable(
      float[] inverseFrequencies,
      double attentionFactor,
      int headDim,
      float[] longFrequencies,
      int longestShort) {
    this.headDim = headDim;
    this.attentionFactor = (float) attentionFactor;
    this.angles = new Angles(inverseFrequencies.clone());
    this.longAngles = longFrequencies == null ? null : new Angles(longFrequencies.clone());
    this.longestShort = longestShort;
  }

  /** Frequencies, and cosines and sines of the positions covered. */
  private final class Angles {
    private final float[] frequencies;
    private float[] cos = new float[0];
    private float[] sin = new float[0];

    /** Both as registers take them, where heads are rotated there. */
    private float[] splitCos;

    private float[] splitSin;

    Angles(float[] frequencies) {
      this.frequencies = frequencies;
    }

    void cover(int length) {
      int half = frequencies.length;
      if (cos.length >= length * half) {
        return;
      }
      cos = new float[length * half];
      sin = new float[length * half];
      for (int p = 0; p < length; p++) {
        for (int i = 0; i < half; i++) {
          // the reference multiplies in float32
          float angle = p * frequencies[i];
          cos[p * half + i] = (float) Math.cos(angle) * attentionFactor;
          sin[p * half + i] = (float) Math.sin(angle) * attentionFactor;
        }
      }
      if (PairRows.fit(half)) {
        splitCos = Pairs512.split(cos);
        splitSin = Pairs512.split(sin);
      }
    }

    void rotate(float[] row, int at, int position, float direction) {
      int half = frequencies.length;
      int table = position * half;
      for (int i = 0; i < half; i++) {
        float a = row[at + i];
        float b = row[at + half + i];
        float c = cos[table + i];
        float s = sin[table + i] * direction;
        row[at + i] = a * c - b * s;
        row[at + half + i] = b * c + a * s;
      }
    }
  }

  /** Whether heads of bfloat16 are rotated in registers: all of a head, in whole registers. */
  boolean inRegisters() {
    return 2 * angles.frequencies.length == headDim && PairRows.fit(angles.frequencies.length);
  }

  /** Elements of a head, D. */
  public int headDim() {
    return headDim;
  }

  /** Whether longer sequences have frequencies of their own. */
  boolean switches() {
    return longAngles != null;
  }

  /** Whether the tokens of a sequence of so many have the frequencies of longer ones. */
  boolean isLong(int tokens) {
    return switches() && tokens > longestShort;
  }

  /** Makes the table cover positions {@code [0, length)}; not while it is being read. */
  public void cover(int length) {
    angles.cover(length);
    if (switches()) {
      longAngles.cover(length);
    }
  }

  /**
   * Positions of a pass on a device, with the table that covers them.
   *
   * @return this table's, until it is asked about another pass
   */
  DevicePass onDevice(Device device, Pass pass) {
    if (pass == lastPass) {
      return last;
    }
    int length = 0;
    for (int position : pass.positions()) {
      length = Math.max(length, position + 1);
    }
    for (KvCache cache : pass.caches()) {
      length = Math.max(length, cache.capacity());
    }
    coverOnDevice(device, length);
    close(last);
    last = new DevicePass(device, pass, this, deviceCos, deviceSin);
    lastPass = pass;
    return last;
  }

  /**
   * Copies the table for positions {@code [0, length)} and more, so that few lengths do it; the
   * angles of longer sequences, where they have their own, behind the others.
   */
  private void coverOnDevice(Device device, int length) {
    if (deviceCos != null && deviceCos.size(0) / sets() >= length) {
      return;
    }
    cover(length);
    close(deviceCos);
    close(deviceSin);
    deviceCos = onDevice(device, a -> a.cos);
    deviceSin = onDevice(device, a -> a.sin);
  }

  private int sets() {
    return switches() ? 2 : 1;
  }

  private Tensor onDevice(Device device, Function<Angles, float[]> part) {
    float[] all = part.apply(angles);
    if (switches()) {
      int each = all.length;
      all = Arrays.copyOf(all, 2 * each);
      System.arraycopy(part.apply(longAngles), 0, all, each, each);
    }
    int half = angles.frequencies.length;
    return Tensor.of(device, all, all.length / half, half);
  }

  private static void close(AutoCloseable resource) {
    try (resource) {
      // null where there is none yet
    } catch (Exception e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public void close() {
    close(last);
    close(deviceCos);
    close(deviceSin);
    last = null;
    lastPass = null;
    deviceCos = null;
    deviceSin = null;
  }

  /**
   * Rotates one head.
   *
   * @param row holds the head at {@code [at, at + D)}
   * @param position covered by the table
   * @param isLong whether by the frequencies of longer sequences
   * @param direction 1 for forward, −1 for the inverse rotation, which is its gradient
   */
  void rotate(float[] row, int at, int position, boolean isLong, float direction) {
    (isLong ? longAngles : angles).rotate(row, at, position, direction);
  }

  /**
   * Rotates heads of bfloat16 side by side, where that is done {@link #inRegisters}.
   *
   * @param from holds the heads from byte {@code at} on
   * @param to receives them from byte {@code toAt} on
   */
  void rotate(
      ByteBuffer from,
      int at,
      ByteBuffer to,
      int toAt,
      int heads,
      int position,
      boolean isLong,
      float direction) {
    Angles by = isLong ? longAngles : angles;
    int half = by.frequencies.length;
    Rotary512.rotate(
        from, at, to, toAt, heads, half, by.splitCos, by.splitSin, position * half, direction);
  }
}
