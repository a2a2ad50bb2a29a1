package ai.nibble.model;

import java.util.Arrays;

/** Compares two stored tensors value by value, in pieces, up to the first difference. */
final class SameValues {
  private static final int PIECE = 1 << 16;

  private SameValues() {}

  /** Reads {@code count} elements from {@code first} on into the front of {@code out}. */
  @FunctionalInterface
  interface Reader {
    void read(StoredTensor tensor, long first, float[] out, int count);
  }

  /** Whether both, of one shape, hold the same float32 values bit for bit. */
  static boolean of(StoredTensor a, StoredTensor b, Reader reader) {
    long elements = a.shape().stream().reduce(1L, (x, y) -> x * y);
    float[] left = new float[PIECE];
    float[] right = new float[PIECE];
    for (long first = 0; first < elements; first += PIECE) {
      int count = (int) Math.min(PIECE, elements - first);
      reader.read(a, first, left, count);
      reader.read(b, first, right, count);
      if (!Arrays.equals(left, 0, count, right, 0, count)) {
        return false;
      }
    }
    return true;
  }
}
