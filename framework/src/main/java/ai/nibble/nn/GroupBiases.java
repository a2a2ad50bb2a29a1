package ai.nibble.nn;

import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;

/** The biases of the members of a {@link LinearGroup}, side by side as their outputs are. */
final class GroupBiases {
  private final LinearGroup group;

  GroupBiases(LinearGroup group) {
    this.group = group;
  }

  /** {@code [out]}, zeros where a member has none; null where none has one. */
  float[] values() {
    if (!group.isBiased()) {
      return null;
    }
    float[] all = new float[group.outFeatures()];
    int at = 0;
    for (Linear member : group.members()) {
      if (member.bias() != null) {
        float[] own = member.bias().toFloats();
        System.arraycopy(own, 0, all, at, own.length);
      }
      at += (int) member.weight().outFeatures();
    }
    return all;
  }

  /** Adds them to {@code [N, out]} in place. */
  void addTo(Tensor y) {
    if (!group.isBiased()) {
      return;
    }
    if (Kernels.serve(y)) {
      addByKernel(y);
      return;
    }
    float[] all = values();
    Parallel.forRanges(
        y.size(0),
        Rows.grain(all.length),
        (begin, end) -> {
          try (Rows rows = Rows.updating(y, begin, end)) {
            float[] row = new float[all.length];
            for (long r = begin; r < end; r++) {
              rows.load(r, row);
              for (int c = 0; c < all.length; c++) {
                row[c] += all[c];
              }
              rows.store(r, row);
            }
          }
        });
  }

  private void addByKernel(Tensor y) {
    try (Tensor all = Tensor.empty(y.device(), DType.FLOAT32, group.outFeatures()).zero()) {
      long at = 0;
      for (Linear member : group.members()) {
        long out = member.weight().outFeatures();
        if (member.bias() != null) {
          try (Tensor part = all.narrow(0, at, out)) {
            part.copyFrom(member.bias());
          }
        }
        at += out;
      }
      ElementwiseKernels.addBias(y, all);
    }
  }
}
