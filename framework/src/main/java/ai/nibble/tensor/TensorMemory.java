package ai.nibble.tensor;

import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * The memory that open tensors hold in this process, by their sizes as they are allocated: a
 * balance for tests and for what predicts it. What libtorch takes inside one operation is not
 * counted.
 */
public final class TensorMemory {
  /** From this size on buffers of the CPU come in few sizes. */
  private static final long SMALLEST_ROUNDED = 1 << 16;

  /** What libtorch's allocator for CUDA rounds to. */
  private static final long CUDA_UNIT = 512;

  private static final Map<Device.Type, Balance> BALANCES = new EnumMap<>(Device.Type.class);

  static {
    for (Device.Type type : Device.Type.values()) {
      BALANCES.put(type, new Balance());
    }
  }

  private static final Map<Device, Balance> BY_DEVICE = new ConcurrentHashMap<>();

  private TensorMemory() {}

  private static final class Balance {
    private final AtomicLong held = new AtomicLong();
    private final AtomicLong peak = new AtomicLong();

    void forgetPeak() {
      peak.set(held.get());
    }

    void add(long bytes) {
      long now = held.addAndGet(bytes);
      if (now > peak.get()) {
        peak.accumulateAndGet(now, Math::max);
      }
    }
  }

  static void add(Device where, long bytes) {
    BALANCES.get(where.type()).add(bytes);
    of(where).add(bytes);
  }

  private static Balance of(Device where) {
    Balance known = BY_DEVICE.get(where);
    return known != null ? known : BY_DEVICE.computeIfAbsent(where, device -> new Balance());
  }

  /** Bytes held now on one device. */
  public static long heldBytes(Device where) {
    return of(where).held.get();
  }

  /** The most bytes held on one device since the last {@link #forgetPeak(Device)}. */
  public static long peakBytes(Device where) {
    return of(where).peak.get();
  }

  /** Begins to look for the most on one device anew. */
  public static void forgetPeak(Device where) {
    of(where).forgetPeak();
  }

  /** Bytes held now. */
  public static long heldBytes(Device.Type where) {
    return BALANCES.get(where).held.get();
  }

  /** The most bytes held since the last {@link #forgetPeak}. */
  public static long peakBytes(Device.Type where) {
    return BALANCES.get(where).peak.get();
  }

  /** Begins to look for the most anew. */
  public static void forgetPeak(Device.Type where) {
    BALANCES.get(where).forgetPeak();
  }

  /**
   * Bytes that a tensor of so many takes. On the CPU, from 64 KiB to 32 MiB, one of eight sizes an
   * octave. Rows of changing lengths then ask for the same few sizes again and again, and what one
   * step freed serves the next; with sizes as they come the heap of a long run goes to pieces and
   * grows. Larger ones are the kernel's own mappings, which leave nothing behind.
   */
  public static long allocatedBytes(Device.Type where, long bytes) {
    if (where != Device.Type.CPU) {
      return (bytes + CUDA_UNIT - 1) / CUDA_UNIT * CUDA_UNIT;
    }
    if (bytes < SMALLEST_ROUNDED || bytes > NativeLibraries.MMAP_THRESHOLD) {
      return bytes;
    }
    long unit = Long.highestOneBit(bytes - 1) >> 3;
    return (bytes + unit - 1) / unit * unit;
  }
}
