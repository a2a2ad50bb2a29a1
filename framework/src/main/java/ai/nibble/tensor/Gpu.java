package ai.nibble.tensor;

/**
 * A GPU that the CUDA driver shows to this process.
 *
 * @param index the CUDA ordinal, as in {@link Device}
 * @param name for example {@code NVIDIA H100 80GB HBM3}
 * @param capability its compute capability, 10 major + minor: 90 for 9.0
 * @param multiprocessors that run blocks
 * @param totalBytes of its memory
 */
public record Gpu(int index, String name, int capability, int multiprocessors, long totalBytes) {
  private static final int TEN = 10;

  /** {@code 9.0}. */
  public String capabilityText() {
    return capability / TEN + "." + capability % TEN;
  }
}
