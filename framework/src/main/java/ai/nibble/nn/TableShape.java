package ai.nibble.nn;

import ai.nibble.tensor.DType;

/**
 * How the embedding or the output head is held and what of it is trained: what its memory depends
 * on beside its size.
 *
 * @param held the dtype it is held in
 * @param trained whether it is trained whole
 * @param rank of a low-rank update; 0 without
 * @param drops whether the update drops some of its input
 * @param rows how many rows are trained by themselves
 * @param capped whether the logits that it gives have a soft cap
 */
public record TableShape(
    DType held, boolean trained, int rank, boolean drops, int rows, boolean capped) {
  /** A table with neither update nor trained rows. */
  public static TableShape of(DType held, boolean trained) {
    return new TableShape(held, trained, 0, false, 0, false);
  }

  /** The same held otherwise. */
  public TableShape withHeld(DType dtype) {
    return new TableShape(dtype, trained, rank, drops, rows, capped);
  }

  /** The same trained whole, in float32. */
  public TableShape trainedWhole() {
    return new TableShape(DType.FLOAT32, true, rank, drops, rows, capped);
  }

  /** The same with a low-rank update. */
  public TableShape withUpdate(int newRank, boolean dropping) {
    return new TableShape(held, trained, newRank, dropping, rows, capped);
  }

  /** The same with so many rows that are trained by themselves. */
  public TableShape withRows(int count) {
    return new TableShape(held, trained, rank, drops, count, capped);
  }

  /** The same with or without a soft cap on logits. */
  public TableShape withCap(boolean cap) {
    return new TableShape(held, trained, rank, drops, rows, cap);
  }

  /** Whether backward adds to gradients of it. */
  public boolean learns() {
    return trained || rank > 0 || rows > 0;
  }
}
