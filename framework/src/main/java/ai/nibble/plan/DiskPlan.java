package ai.nibble.plan;

/**
 * What a run writes of its weights, in bytes, and what is free for it. Headers, metrics and other
 * small files are left out.
 *
 * @param base a base of its own, written before the first step; 0: none
 * @param result the adapter or model at the end
 * @param checkpoint one checkpoint: trained values as others read them, then with the optimizer's
 *     memory in float32
 * @param saves checkpoints that the run writes
 * @param atOnce of them, the most that are there at a time: beside those that are kept is the one
 *     being written, and the best one
 * @param free of the output directory's file system; what the run finds there and keeps or removes
 *     is counted as free
 */
public record DiskPlan(
    long base, long result, long checkpoint, long saves, long atOnce, long free) {
  /**
   * The plan of a run.
   *
   * @param base bytes of a base of its own
   * @param limit checkpoints kept; 0: all
   * @param best whether the best one is kept besides
   */
  public static DiskPlan of(
      long base, long result, long checkpoint, long saves, int limit, boolean best, long free) {
    return new DiskPlan(base, result, checkpoint, saves, atOnce(saves, limit, best), free);
  }

  private static long atOnce(long saves, int limit, boolean best) {
    return limit == 0 ? saves : Math.min(saves, limit + 1L + (best ? 1 : 0));
  }

  /** Bytes when most is there. */
  public long needed() {
    return needed(atOnce);
  }

  private long needed(long checkpoints) {
    return checkpoints == 0
        ? base + result
        : base
            + result
            + Math.max(0, checkpoints) * Math.min(checkpoint, Long.MAX_VALUE / 2 / checkpoints);
  }

  /** Whether there is room. */
  public boolean fits() {
    return needed() <= free;
  }

  /** {@code about 240 MiB of the 12 GiB free: 3 checkpoints of 75 MiB, the result of 19 MiB}. */
  public String text() {
    String checkpoints =
        atOnce == 0
            ? ""
            : atOnce == 1
                ? "a checkpoint of " + Sizes.text(checkpoint) + ", "
                : atOnce + " checkpoints of " + Sizes.text(checkpoint) + ", ";
    return "about "
        + Sizes.text(needed())
        + " of the "
        + Sizes.text(free)
        + " free: "
        + (base == 0 ? "" : "the base of LoftQ of " + Sizes.text(base) + ", ")
        + checkpoints
        + "the result of "
        + Sizes.text(result);
  }

  /** What helps where there is not the room, for the end of a line. */
  public String remedy() {
    boolean fewer = atOnce > 2 && needed(2) <= free;
    return "free some, choose another output_dir"
        + (fewer ? ", or set save_total_limit: 1, which needs " + Sizes.text(needed(2)) : "");
  }
}
