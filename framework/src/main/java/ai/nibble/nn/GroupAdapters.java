package ai.nibble.nn;

import ai.nibble.cuda.LoraKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;

/** The adapters on the members of a {@link LinearGroup}, side by side as its products take them. */
final class GroupAdapters {
  private final LinearGroup group;

  GroupAdapters(LinearGroup group) {
    this.group = group;
  }

  /** Writes {@code s·B} of all members into the columns from {@code first} on, then zeros. */
  void writeUp(Tensor destination, int first) {
    long row = 0;
    int column = 0;
    for (Linear member : group.members()) {
      writeUp(destination, row, first, column, member);
      row += member.weight().outFeatures();
      column += member.adapter().map(LowRank::rank).orElse(0);
    }
  }

  /** Columns from {@code first} on: zeros, and at the member's own place its scaled B. */
  private static void writeUp(
      Tensor destination, long firstRow, int first, int column, Linear member) {
    LowRank adapter = member.adapter().orElse(null);
    try (Tensor b = adapter == null ? null : adapter.up()) {
      writeUp(destination, firstRow, first, column, adapter, b, member);
    }
  }

  private static void writeUp(
      Tensor destination,
      long firstRow,
      int first,
      int column,
      LowRank adapter,
      Tensor b,
      Linear member) {
    int rank = (int) destination.size(1) - first;
    long out = member.weight().outFeatures();
    if (Kernels.serve(destination)) {
      double scaling = adapter == null ? 1 : adapter.scaling();
      LoraKernels.up(destination, firstRow, first, rank, column, b, scaling, out);
      return;
    }
    Parallel.forRanges(
        out,
        Rows.grain(rank),
        (begin, end) -> {
          try (Rows to = Rows.writing(destination, firstRow + begin, firstRow + end, first, rank);
              Rows from = adapter == null ? null : Rows.reading(b, begin, end)) {
            float[] all = new float[rank];
            float[] own = new float[adapter == null ? 0 : adapter.rank()];
            for (long r = begin; r < end; r++) {
              if (adapter != null) {
                from.load(r, own);
                for (int c = 0; c < own.length; c++) {
                  all[column + c] = (float) (own[c] * adapter.scaling());
                }
              }
              to.store(firstRow + r, all);
            }
          }
        });
  }

  /** {@code s·B} of all members, {@code [out, rank]}; the caller closes it. */
  Tensor up(DType dtype) {
    Tensor all = Tensor.empty(group.device(), dtype, group.outFeatures(), group.rank());
    try {
      writeUp(all, 0);
      return all;
    } catch (RuntimeException e) {
      all.close();
      throw e;
    }
  }

  /** All A below each other, {@code [rank, in]}; the caller closes it. */
  Tensor down(DType dtype) {
    Tensor all = Tensor.empty(group.device(), dtype, group.rank(), group.inFeatures());
    long row = 0;
    for (Linear member : group.members()) {
      if (member.adapter().isPresent()) {
        LowRank adapter = member.adapter().get();
        try (Tensor part = all.narrow(0, row, adapter.rank());
            Tensor a = adapter.down()) {
          part.copyFrom(a);
        }
        row += adapter.rank();
      }
    }
    return all;
  }
}
