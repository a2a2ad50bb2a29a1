package ai.nibble.nn;

import java.util.List;

/**
 * The sizes of a {@link LinearGroup}, from which its memory follows.
 *
 * @param in features of the input
 * @param out features of each member's output
 * @param ranks of each member's adapter, 0 where it has none
 * @param dropout whether the adapters drop
 * @param trained whether the members are trained themselves
 * @param int8 whether a member is held in 8 bits
 */
public record GroupShape(
    int in,
    List<Integer> out,
    List<Integer> ranks,
    boolean dropout,
    boolean trained,
    boolean int8) {
  /** Products are up to an eighth faster where rows of 2-byte elements begin on 128 bytes. */
  private static final int ROW_UNIT = 64;

  public GroupShape {
    out = List.copyOf(out);
    ranks = List.copyOf(ranks);
  }

  /** Sum over the members. */
  int outFeatures() {
    return out.stream().mapToInt(Integer::intValue).sum();
  }

  /** Sum over the adapters. */
  int rank() {
    return ranks.stream().mapToInt(Integer::intValue).sum();
  }

  /** Columns of {@code [W, s·B, 0]}; zeros stand there only for kernels. */
  int width(boolean kernels) {
    int columns = in + rank();
    return rank() > 0 && kernels ? (columns + ROW_UNIT - 1) / ROW_UNIT * ROW_UNIT : columns;
  }

  /** Columns behind those of the input, as {@link LinearGroup#room} has it in training. */
  int room(Precision precision, boolean kernels) {
    return precision.widens() || int8 || !kernels ? 0 : width(kernels) - in;
  }

  /** Columns behind those of the input. */
  public int room(Extent extent) {
    return room(extent.precision(), extent.kernels());
  }

  /**
   * What the group holds in a pass.
   *
   * @param training whether a backward follows
   */
  public Footprint footprint(Extent extent, boolean training) {
    return LinearGroupFunction.footprint(this, extent, training);
  }
}
