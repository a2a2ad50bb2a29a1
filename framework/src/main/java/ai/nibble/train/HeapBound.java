package ai.nibble.train;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.NativeHeap;
import ai.nibble.tensor.TensorMemory;
import ai.nibble.train.log.ProcessMemory;

/**
 * Keeps the heap from growing with the number of micro-batches. What one frees serves the next, so
 * it is kept; but micro-batches of ever other lengths, between whose buffers libtorch puts small
 * ones that stay, leave holes that the next one's buffers do not fit. Where much more lies free
 * than a micro-batch takes, it is given back: its pages come anew, for a hundredth of the time of
 * the micro-batches between.
 */
final class HeapBound {
  /** What may lie free between micro-batches, in what the largest took. */
  private static final double TIMES = 1.4;

  private final long process;
  private long mostTaken;

  /** The process as it is before the first micro-batch. */
  HeapBound() {
    this.process = ProcessMemory.residentBytes() - held();
    TensorMemory.forgetPeak(Device.Type.CPU);
  }

  private static long held() {
    return TensorMemory.heldBytes(Device.Type.CPU);
  }

  /** After a micro-batch. */
  void keep() {
    mostTaken = Math.max(mostTaken, TensorMemory.peakBytes(Device.Type.CPU) - held());
    TensorMemory.forgetPeak(Device.Type.CPU);
    long free = ProcessMemory.residentBytes() - held() - process;
    if (isTooMuch(free, mostTaken)) {
      NativeHeap.trim();
    }
  }

  /**
   * Whether so much free memory is worth giving back.
   *
   * @param taken by the largest micro-batch at its peak
   */
  static boolean isTooMuch(long free, long taken) {
    return free > TIMES * taken + (16 << 20);
  }
}
