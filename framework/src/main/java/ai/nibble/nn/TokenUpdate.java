package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Team;
import ai.nibble.tensor.Tensor;

/**
 * A low-rank update of one token's product: {@code y += (s·B)·(A·x)}, its matrices copied and
 * rounded as products take them.
 */
final class TokenUpdate {
  private final float[] a;
  private final float[] scaledB;
  private final float[] h;
  private final DType dtype;

  TokenUpdate(LowRank update, DType dtype) {
    this.dtype = dtype;
    this.h = new float[update.trainedRank()];
    try (Tensor down = update.a().value().to(dtype);
        Tensor up = HeadProduct.scaledB(update, dtype)) {
      this.a = down.toFloats();
      this.scaledB = up.toFloats();
    }
  }

  /** A phase of a team: {@code h = A·x}. */
  void readBy(Team team, float[] x) {
    team.ranges(
        h.length,
        1,
        (begin, end) -> {
          for (int k = (int) begin; k < end; k++) {
            float sum = 0;
            for (int c = 0; c < x.length; c++) {
              sum += a[k * x.length + c] * x[c];
            }
            h[k] = sum;
          }
        },
        () -> dtype.round(h, 0, h.length));
  }

  /** Adds to elements {@code [begin, end)} of the product. */
  void addTo(long begin, long end, float[] y) {
    for (int o = (int) begin; o < end; o++) {
      float sum = 0;
      for (int k = 0; k < h.length; k++) {
        sum += scaledB[o * h.length + k] * h[k];
      }
      y[o] += sum;
    }
  }
}
