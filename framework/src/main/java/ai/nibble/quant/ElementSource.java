package ai.nibble.quant;

/** Where the values of a weight come from while it is quantised; called from several threads. */
@FunctionalInterface
public interface ElementSource {
  /** Puts elements {@code [first, first + count)} of the flattened weight into the array. */
  void read(long first, float[] values, int count);
}
