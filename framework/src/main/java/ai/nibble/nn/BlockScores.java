package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Room for the scores of all blocks of a pass, one matrix {@code [tokens·group, keys]} a block and
 * key/value head, in one piece of memory.
 */
final class BlockScores implements AutoCloseable {
  /** Elements to a multiple of which a matrix's place is rounded up: a cache line in bfloat16. */
  private static final int ALIGNMENT = 32;

  private final Map<AttentionSpan, Place> places = new HashMap<>();
  private final int group;
  private long elements;
  private Tensor memory;

  private record Place(long offset, long rows, long keys) {}

  /**
   * @param group rows of scores a token has
   */
  BlockScores(int group) {
    this.group = group;
  }

  /** Makes a place for each block of a span, before memory is {@link #allocate allocated}. */
  void add(AttentionSpan span, List<AttentionSpan> blocks) {
    for (AttentionSpan block : blocks) {
      Place place =
          new Place(elements, (long) block.tokens() * group, block.end() - (long) span.begin());
      places.put(block, place);
      long end = elements + place.rows * place.keys;
      elements = (end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
  }

  /** Elements of a key/value head's matrices. */
  long elements() {
    return elements;
  }

  void allocate(Device device, DType dtype, int keyValueHeads) {
    memory = Tensor.empty(device, dtype, keyValueHeads, elements);
  }

  /** A block's matrix, uninitialised at first; the caller's to close. */
  Tensor of(AttentionSpan block, int head) {
    Place place = places.get(block);
    long[] sizes = {place.rows, place.keys};
    long[] strides = {place.keys, 1};
    return memory.asStrided(sizes, strides, head * elements + place.offset);
  }

  @Override
  public void close() {
    if (memory != null) {
      memory.close();
    }
  }
}
