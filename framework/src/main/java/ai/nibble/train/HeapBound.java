package ai.nibble.train;

import ai.nibble.tensor.Device;
import ai.nibble.tensor.NativeHeap;
import ai.nibble.tensor.TensorMemory;
import ai.nibble.train.log.ProcessMemory;

/**
 * Keeps the heap from growing with the number of steps. What a step frees serves the next, so it is
 * kept; but steps of ever other lengths, between whose buffers libtorch puts small ones that stay,
 * leave holes that the next step's buffers do not fit. Where much more lies free than a step takes,
 * it is given back: its pages come anew, for a hundredth of the time of the steps between.
 */
final class HeapBound {
  /** What may lie free between steps, in what a step takes. */
  private static final double STEPS = 1.4;

  private final long process;

  /** The process as it is before the first step. */
  HeapBound() {
    this.process = ProcessMemory.residentBytes() - held();
  }

  private static long held() {
    return TensorMemory.heldBytes(Device.Type.CPU);
  }

  /** Before a step. */
  void begin() {
    TensorMemory.forgetPeak(Device.Type.CPU);
  }

  /** After a step. */
  void end() {
    long taken = TensorMemory.peakBytes(Device.Type.CPU) - held();
    long free = ProcessMemory.residentBytes() - held() - process;
    if (isTooMuch(free, taken)) {
      NativeHeap.trim();
    }
  }

  /**
   * Whether so much free memory is worth giving back.
   *
   * @param taken by a step at its peak
   */
  static boolean isTooMuch(long free, long taken) {
    return free > STEPS * taken + (16 << 20);
  }
}
