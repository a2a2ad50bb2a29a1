package ai.nibble.plan;

import ai.nibble.cuda.composed.Parts;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.KernelLaunchers;

/**
 * What a process takes that computes nothing yet, and how its heap lies.
 *
 * @param process bytes of the JVM, its classes and heap and of libtorch, once it computes
 * @param slack how much of the memory of a pass lies free beside it
 * @param layers how much lies free beside it in what one layer makes in forward
 */
public record Host(long process, double slack, double layers) {
  /**
   * What computing adds to a process that has read the rows: classes and compiled code, the young
   * generation of the Java heap, oneDNN's kernels, pages of libtorch not touched before. Measured:
   * docs/plan.md.
   */
  private static final long WARM = 80L << 20;

  /** What oneDNN keeps of one product's shape: its code, mostly. Measured: docs/plan.md. */
  private static final long SHAPE = 120L << 10;

  /** Shapes that oneDNN keeps at most. */
  private static final int MOST_SHAPES = 1024;

  /**
   * Buffers below 32 MiB lie in the C library's heap, where those of the backward pass do not fill
   * the places of those of the forward pass without rest. Measured: docs/plan.md.
   */
  private static final double SLACK = 0.3;

  /**
   * The same where every step has other lengths: of what lies free more is kept, and given back
   * when it is more than that. Measured: docs/plan.md.
   */
  private static final double CHANGING_SLACK = 0.35;

  private static final long CHANGING = 16L << 20;

  /**
   * Of a GPU libtorch takes segments that grow. In them about as much lies free as a layer makes,
   * whatever is kept of the others. Measured: docs/plan.md.
   */
  private static final double LAYERS = 1;

  /** Kernels that are loaded, handles and workspaces of cuBLAS. */
  private static final long DEVICE_PROCESS = 300L << 20;

  /**
   * This machine's CPU.
   *
   * @param residentNow of a process that has read the rows and loaded libtorch
   */
  public static Host cpu(long residentNow) {
    return new Host(residentNow + WARM, SLACK, 0);
  }

  /** A pretended device in the CPU's memory, beside the process. */
  public static Host pretended() {
    return new Host(0, SLACK, 0);
  }

  /**
   * This machine's CPU, with a run of products of so many shapes.
   *
   * @param residentNow of a process that has read the rows and loaded libtorch
   * @param shapes of all products, as {@link DrawnBatches} counts them
   */
  public static Host cpu(long residentNow, int shapes) {
    boolean changing = shapes > DrawnBatches.SHAPES_OF_ONE;
    long kept = SHAPE * Math.min(shapes, MOST_SHAPES) + (changing ? CHANGING : 0);
    return new Host(residentNow + WARM + kept, changing ? CHANGING_SLACK : SLACK, 0);
  }

  /**
   * A GPU, of whose memory the driver's own context is not counted. Where this machine's kernels
   * are composed, what they make on their way is.
   */
  public static Host device() {
    boolean composes = KernelLaunchers.composes(new Device(Device.Type.CUDA, 0));
    return new Host(DEVICE_PROCESS + (composes ? Parts.MOST_BYTES : 0), 0, LAYERS);
  }
}
