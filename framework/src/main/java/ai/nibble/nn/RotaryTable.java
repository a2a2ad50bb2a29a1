package ai.nibble.nn;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;

/**
 * Cosines and sines of rotary position embedding (Su et al. 2021), float32, computed once for the
 * positions in use. The two halves of a head rotate against each other (element i with i + D/2), as
 * Hugging Face lays weights out. For kernels it holds a copy on the device, and where the tokens of
 * the last pass were; close it to free them.
 */
public final class RotaryTable implements AutoCloseable {
  private final float[] inverseFrequencies;
  private final float attentionFactor;
  private float[] cos = new float[0];
  private float[] sin = new float[0];
  private Tensor deviceCos;
  private Tensor deviceSin;
  private Pass lastPass;
  private DevicePass last;

  /**
   * @param inverseFrequencies one a pair of elements, {@code [D/2]}
   * @param attentionFactor multiplies cosines and sines (YaRN); 1 otherwise
   */
  public RotaryTable(float[] inverseFrequencies, double attentionFactor) {
    this.inverseFrequencies = inverseFrequencies.clone();
    this.attentionFactor = (float) attentionFactor;
  }

  /** Elements of a head, D. */
  public int headDim() {
    return 2 * inverseFrequencies.length;
  }

  /** Makes the table cover positions {@code [0, length)}; not while it is being read. */
  public void cover(int length) {
    int half = inverseFrequencies.length;
    if (cos.length >= length * half) {
      return;
    }
    cos = new float[length * half];
    sin = new float[length * half];
    for (int p = 0; p < length; p++) {
      for (int i = 0; i < half; i++) {
        // the reference multiplies in float32
        float angle = p * inverseFrequencies[i];
        cos[p * half + i] = (float) Math.cos(angle) * attentionFactor;
        sin[p * half + i] = (float) Math.sin(angle) * attentionFactor;
      }
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
    last = new DevicePass(device, pass, deviceCos, deviceSin);
    lastPass = pass;
    return last;
  }

  /** Copies the table for positions {@code [0, length)} and more, so that few lengths do it. */
  private void coverOnDevice(Device device, int length) {
    int half = inverseFrequencies.length;
    if (deviceCos != null && deviceCos.size(0) >= length) {
      return;
    }
    cover(length);
    int covered = cos.length / half;
    close(deviceCos);
    close(deviceSin);
    deviceCos = Tensor.of(device, cos, covered, half);
    deviceSin = Tensor.of(device, sin, covered, half);
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
   * @param direction 1 for forward, −1 for the inverse rotation, which is its gradient
   */
  void rotate(float[] row, int at, int position, float direction) {
    int half = inverseFrequencies.length;
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
