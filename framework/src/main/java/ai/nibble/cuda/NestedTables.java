package ai.nibble.cuda;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;

/**
 * What recovers double-quantised absmax on a device: {@code absmax[b] = map[byte[b]] · absmax2[b /
 * 256] + offset}. The tensors stay their owner's.
 *
 * @param absmax2 float32, one for each 256 blocks
 * @param map float32 [256]
 * @param offset the mean absmax
 */
public record NestedTables(Tensor absmax2, Tensor map, float offset) {
  /** Blocks that share one second-level absmax. */
  public static final int BLOCK_SIZE = 256;

  /** Values that one byte can stand for. */
  private static final int MAP_SIZE = 256;

  void check(Operands operands, long blocks) {
    operands
        .flat("absmax2", absmax2, DType.FLOAT32, (blocks + BLOCK_SIZE - 1) / BLOCK_SIZE)
        .flat("map", map, DType.FLOAT32, MAP_SIZE);
  }
}
