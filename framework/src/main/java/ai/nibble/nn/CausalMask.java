package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Keeps a token from later ones and from other sequences.
 *
 * @param positions each token's position in its sequence, {@code [N]}
 * @param group rows of scores a token has, one a query head
 */
record CausalMask(int[] positions, int group) {

  /**
   * Sets to −∞ what a block's rows must not see.
   *
   * @param scores contiguous {@code [tokens·group, keys]} of the block's tokens by the span's keys
   *     up to the block's end
   */
  void apply(Tensor scores, AttentionSpan span, AttentionSpan block) {
    int size = scores.dtype().bytes();
    int keys = block.end() - span.begin();
    byte[] minusInfinity = minusInfinity(keys, scores.dtype());
    ByteBuffer bytes = scores.bytes(0, Math.toIntExact(scores.byteSize()));
    for (int t = block.begin(); t < block.end(); t++) {
      int others = t - positions[t] - span.begin();
      int later = block.end() - t - 1;
      for (int g = 0; g < group; g++) {
        int row = ((t - block.begin()) * group + g) * keys * size;
        bytes.put(row, minusInfinity, 0, others * size);
        bytes.put(row + (keys - later) * size, minusInfinity, 0, later * size);
      }
    }
  }

  private static byte[] minusInfinity(int count, DType dtype) {
    ByteBuffer bytes = ByteBuffer.allocate(count * dtype.bytes()).order(ByteOrder.LITTLE_ENDIAN);
    while (bytes.hasRemaining()) {
      if (dtype == DType.FLOAT32) {
        bytes.putFloat(Float.NEGATIVE_INFINITY);
      } else {
        bytes.putShort((short) 0xff80);
      }
    }
    return bytes.array();
  }
}
