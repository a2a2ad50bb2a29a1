package ai.nibble.gguf;

/**
 * Finds the scale, and for some types the minimum, by which a few neighbouring weights are best
 * written as small integers: {@code x ≈ scale · q − min}, q from {@code lowest} to {@code highest}.
 *
 * <p>Best means the least sum of {@code w (scale · q − min − x)²}. Given the codes q, scale and
 * minimum follow in closed form (weighted least squares); given scale and minimum, each code is the
 * nearest one. So codes are taken from a series of trial scales around the one that maps the range
 * of x to the range of q, as llama.cpp does, and the best of them is then improved in turns until
 * that changes nothing, as in Lloyd's algorithm. One instance serves one thread.
 */
final class SubBlockFit {
  /** How far the trial scales reach, in codes by which the range of q is widened or narrowed. */
  private static final float REACH = 1.2f;

  private static final float STEP = 0.1f;

  private static final int MAX_TURNS = 8;

  /** Adding and taking away 1.5 · 2^23 rounds a float32 below 2^22 to the nearest integer. */
  private static final float ROUNDING = 12_582_912f;

  private final int n;
  private final int lowest;
  private final int highest;
  private final float[] weights;

  private float[] values;
  private int at;
  private float scale;
  private float min;
  private float error;

  SubBlockFit(int n, int lowest, int highest) {
    this.n = n;
    this.lowest = lowest;
    this.highest = highest;
    this.weights = new float[n];
  }

  /** The scale found; 0 if all values are. */
  float scale() {
    return scale;
  }

  /** The minimum found, with its sign turned: at least 0. */
  float min() {
    return min;
  }

  /**
   * Takes the values to be fitted. Errors weigh {@code rms + |x|}: llama.cpp's choice for Q4_K and
   * Q5_K, between plain squares and those relative to the weight.
   */
  void take(float[] in, int offset) {
    values = in;
    at = offset;
    float squares = 0;
    for (int i = 0; i < n; i++) {
      squares += in[offset + i] * in[offset + i];
    }
    float rms = (float) Math.sqrt(squares / n);
    for (int i = 0; i < n; i++) {
      weights[i] = rms + Math.abs(in[offset + i]);
    }
  }

  /** Fits scale and minimum; the codes begin at 0. */
  void fitWithMin() {
    float least = 0;
    float greatest = values[at];
    for (int i = 0; i < n; i++) {
      least = Math.min(least, values[at + i]);
      greatest = Math.max(greatest, values[at + i]);
    }
    start(0, -least);
    float range = greatest - least;
    if (range > 0) {
      for (float trial = -REACH; trial <= REACH; trial += STEP) {
        attempt(range / (highest + trial), -least, true);
      }
      improve(true);
    }
  }

  /** Fits the scale alone, negative if that serves better: there are more codes below 0. */
  void fitScale() {
    float extreme = 0;
    for (int i = 0; i < n; i++) {
      if (Math.abs(values[at + i]) > Math.abs(extreme)) {
        extreme = values[at + i];
      }
    }
    start(0, 0);
    if (extreme != 0) {
      for (float trial = -REACH; trial <= REACH; trial += STEP) {
        attempt(extreme / (lowest + trial), 0, false);
      }
      improve(false);
    }
  }

  private void start(float firstScale, float firstMin) {
    scale = firstScale;
    min = firstMin;
    error = error(firstScale, firstMin);
  }

  private void improve(boolean withMin) {
    for (int turn = 0; turn < MAX_TURNS; turn++) {
      if (!attempt(scale, min, withMin)) {
        return;
      }
    }
  }

  /** Takes the codes of a scale and minimum, fits both to them, and keeps what is better. */
  private boolean attempt(float fromScale, float fromMin, boolean withMin) {
    float w = 0;
    float wx = 0;
    float wq = 0;
    float wqq = 0;
    float wxq = 0;
    float inverse = inverse(fromScale);
    for (int i = 0; i < n; i++) {
      float x = values[at + i];
      float q = code(x, inverse, fromMin);
      float weight = weights[i];
      w += weight;
      wx += weight * x;
      wq += weight * q;
      wqq += weight * q * q;
      wxq += weight * x * q;
    }
    if (!(wqq > 0)) {
      return false;
    }
    float fittedScale = wxq / wqq;
    float fittedMin = 0;
    float determinant = w * wqq - wq * wq;
    if (withMin && determinant > 0) {
      float min = (wq * wxq - wqq * wx) / determinant;
      if (min > 0) {
        fittedMin = min;
        fittedScale = (w * wxq - wx * wq) / determinant;
      }
    }
    if (fittedScale == 0 || withMin && fittedScale < 0) {
      return false;
    }
    float fittedError = error(fittedScale, fittedMin);
    if (!(fittedError < error)) {
      return false;
    }
    scale = fittedScale;
    min = fittedMin;
    error = fittedError;
    return true;
  }

  /** The weighted squared error of the nearest codes. */
  float error(float scale, float min) {
    float sum = 0;
    float inverse = inverse(scale);
    for (int i = 0; i < n; i++) {
      float x = values[at + i];
      float difference = scale * code(x, inverse, min) - min - x;
      sum += weights[i] * difference * difference;
    }
    return sum;
  }

  /** The nearest codes, counted from {@code lowest}. */
  void codes(float scale, float min, int[] out, int offset) {
    float inverse = inverse(scale);
    for (int i = 0; i < n; i++) {
      out[offset + i] = (int) code(values[at + i], inverse, min) - lowest;
    }
  }

  /** 0 for 0 and for what is so small that its inverse is infinite. */
  private static float inverse(float scale) {
    float inverse = 1 / scale;
    return Float.isInfinite(inverse) ? 0 : inverse;
  }

  private float code(float x, float inverse, float min) {
    float q = Math.max(lowest, Math.min(highest, (x + min) * inverse));
    return q + ROUNDING - ROUNDING;
  }
}
