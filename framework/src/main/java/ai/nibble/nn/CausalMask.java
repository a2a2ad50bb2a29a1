package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/**
 * Keeps a token from later ones and from other sequences: token {@code t} of a sequence that begins
 * by itself sees its sequence up to {@code t}; that of a branch also all of its trunk. With a
 * window it sees the last of these alone.
 *
 * @param first the first token that each token sees, {@code [N]}
 * @param trunkEnd behind the last token of its trunk, {@code [N]}
 * @param own the first token of its own sequence, {@code [N]}: what lies between is other branches
 * @param group rows of scores a token has, one a query head
 */
record CausalMask(int[] first, int[] trunkEnd, int[] own, int group) {

  /** The mask of a pass. */
  static CausalMask of(Pass pass, Attention attention) {
    int[] first = new int[pass.tokens()];
    int[] trunkEnd = new int[pass.tokens()];
    int[] own = new int[pass.tokens()];
    int[] starts = pass.sequenceStarts();
    for (int s = 0; s < pass.sequences(); s++) {
      int trunk = pass.trunk(s);
      int begin = starts[s];
      Arrays.fill(first, begin, starts[s + 1], starts[trunk]);
      Arrays.fill(trunkEnd, begin, starts[s + 1], trunk == s ? begin : starts[trunk + 1]);
      Arrays.fill(own, begin, starts[s + 1], begin);
    }
    CausalMask whole = new CausalMask(first, trunkEnd, own, attention.group());
    return attention.window() == Attention.NO_WINDOW
        ? whole
        : whole.within(attention, pass.positions());
  }

  /** The same where tokens before the window are not seen either. */
  private CausalMask within(Attention attention, int[] positions) {
    int[] begin = first.clone();
    for (int t = 0; t < begin.length; t++) {
      int unseen = attention.firstSeen(positions[t] + 1);
      int trunk = trunkEnd[t] - first[t];
      begin[t] = unseen < trunk ? first[t] + unseen : own[t] + unseen - trunk;
    }
    return new CausalMask(begin, trunkEnd, own, group);
  }

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
      int others = first[t] - span.begin();
      int branches = own[t] - trunkEnd[t];
      int later = block.end() - t - 1;
      for (int g = 0; g < group; g++) {
        int row = ((t - block.begin()) * group + g) * keys * size;
        bytes.put(row, minusInfinity, 0, others * size);
        bytes.put(row + (trunkEnd[t] - span.begin()) * size, minusInfinity, 0, branches * size);
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
