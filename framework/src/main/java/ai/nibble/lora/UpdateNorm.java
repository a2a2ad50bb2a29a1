package ai.nibble.lora;

import ai.nibble.nn.LowRank;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;

/**
 * The Frobenius norm of an update without the update itself: {@code ‖B·A‖² = tr(AᵀBᵀBA) = Σ (BᵀB) ∘
 * (A·Aᵀ)}, two matrices {@code [r, r]} in place of one {@code [out, in]}. What DoRA makes of the
 * rows afterwards is not in it.
 */
final class UpdateNorm {
  private UpdateNorm() {}

  /** {@code scaling · ‖B·A‖}. */
  static double of(LowRank update) {
    int r = update.rank();
    try (Tensor a = update.down();
        Tensor b = update.up();
        Tensor aT = a.t();
        Tensor bT = b.t();
        Tensor gramA = Tensor.empty(a.device(), DType.FLOAT32, r, r);
        Tensor gramB = Tensor.empty(a.device(), DType.FLOAT32, r, r)) {
      float[] x = Ops.mm(gramA, a, aT).toFloats();
      float[] y = Ops.mm(gramB, bT, b).toFloats();
      double squared = 0;
      for (int i = 0; i < x.length; i++) {
        squared += (double) x[i] * y[i];
      }
      // not below zero but by rounding; what is not a number stays so
      return update.scaling() * Math.sqrt(squared < 0 ? 0 : squared);
    }
  }
}
