package ai.nibble.tensor;

import com.sun.jna.Pointer;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/**
 * Copies of a device's tensors to page-locked memory of the host and back, on a stream of their own
 * beside what libtorch computes. Nothing waits on the host: each stream waits for the other by
 * events, where it must. Page-locked memory is kept for the next copies. Used by one thread.
 */
public final class HostCopies implements AutoCloseable {
  private static final Map<Device.Type, Function<Device, HostCopies>> INSTALLED =
      new EnumMap<>(Device.Type.class);

  private final CudaApi api;
  private final PageLocked memory;
  private final Device device;

  /** Memory that no copy has. */
  private final List<PageLocked.Room> rooms = new ArrayList<>();

  /** Happens when what was queued for the device by then is done; recorded again and again. */
  private long computed;

  private long side;

  /**
   * @param api of a driver that is initialised
   */
  HostCopies(CudaApi api, CudaDriver.CurrentStream streams, Device device) {
    this.api = api;
    this.memory = new PageLocked(api, streams, device);
    this.device = device;
    in(
        () -> {
          long[] created = new long[1];
          check(api.cuStreamCreate(created, CudaApi.CU_STREAM_NON_BLOCKING), "cuStreamCreate");
          side = created[0];
          computed = memory.event();
        });
  }

  /** Whether a device has a memory apart from the host's, so that there is something to copy. */
  public static boolean serve(Device device) {
    synchronized (INSTALLED) {
      return !device.isCpu() || INSTALLED.containsKey(device.type());
    }
  }

  /** Copies of a device's tensors; the caller closes them when none is under way. */
  public static HostCopies of(Device device) {
    synchronized (INSTALLED) {
      Function<Device, HostCopies> installed = INSTALLED.get(device.type());
      if (installed != null) {
        return installed.apply(device);
      }
    }
    return new HostCopies(
        CudaProcess.driver().api(), LibtorchCuda::aoti_torch_get_current_cuda_stream, device);
  }

  /** Puts others in force for a kind of device, until what is given is closed. */
  static KernelLaunchers.Installation install(
      Device.Type type, Function<Device, HostCopies> copies) {
    synchronized (INSTALLED) {
      if (INSTALLED.putIfAbsent(type, copies) != null) {
        throw new IllegalStateException("copies are installed for " + type + " already");
      }
    }
    return () -> {
      synchronized (INSTALLED) {
        INSTALLED.remove(type, copies);
      }
    };
  }

  /**
   * Begins to copy to the host.
   *
   * @param tensor contiguous, on the device; it may be closed after {@link Copy#arrive}
   */
  public Copy begin(Tensor tensor) {
    if (!tensor.isContiguous()) {
      throw new TensorException("a copy to the host needs a contiguous tensor, got " + tensor);
    }
    Copy copy = new Copy(tensor);
    try {
      in(
          () -> {
            waitForComputation();
            int code =
                api.cuMemcpyDtoHAsync_v2(copy.room.address(), tensor.address(), copy.bytes, side);
            check(code, "cuMemcpyDtoHAsync");
            check(api.cuEventRecord(copy.event, side), "cuEventRecord");
          });
      return copy;
    } catch (RuntimeException e) {
      copy.close();
      throw e;
    }
  }

  /** A tensor's values on the host, or on the way there or back. */
  public final class Copy implements AutoCloseable {
    private final DType dtype;
    private final long[] shape;
    private final long bytes;
    private final PageLocked.Room room;
    private final long event;

    private Copy(Tensor tensor) {
      this.dtype = tensor.dtype();
      this.shape = tensor.shape();
      this.bytes = tensor.byteSize();
      this.room = take(bytes);
      this.event = memory.event();
    }

    /** What is queued for the device from now on comes after the copy. */
    public void arrive() {
      in(() -> check(api.cuStreamWaitEvent(memory.stream(), event, 0), "cuStreamWaitEvent"));
    }

    /**
     * The value of a tensor of one element, float32 or float64. The host waits for this copy, not
     * for what was queued after it.
     */
    public double item() {
      if (dtype != DType.FLOAT32 && dtype != DType.FLOAT64 || bytes != dtype.bytes()) {
        throw new TensorException("item: needs a copy of one float32 or float64, got " + dtype);
      }
      in(() -> check(api.cuEventSynchronize(event), "cuEventSynchronize"));
      Pointer value = new Pointer(room.address());
      return dtype == DType.FLOAT32 ? value.getFloat(0) : value.getDouble(0);
    }

    /**
     * Begins to copy back.
     *
     * @return a new tensor, which may be read after {@link #arrive}; the caller's to close
     */
    public Tensor back() {
      Tensor tensor = Tensor.empty(device, dtype, shape);
      try {
        in(
            () -> {
              waitForComputation(); // the memory may have been another tensor's
              int code = api.cuMemcpyHtoDAsync_v2(tensor.address(), room.address(), bytes, side);
              check(code, "cuMemcpyHtoDAsync");
              check(api.cuEventRecord(event, side), "cuEventRecord");
            });
        return tensor;
      } catch (RuntimeException e) {
        tensor.close();
        throw e;
      }
    }

    /** Gives the memory on the host back; later copies come after this one. */
    @Override
    public void close() {
      rooms.add(room);
      memory.giveBack(event);
    }
  }

  /** The side stream waits for what was queued for the device by now. */
  private void waitForComputation() {
    check(api.cuEventRecord(computed, memory.stream()), "cuEventRecord");
    check(api.cuStreamWaitEvent(side, computed, 0), "cuStreamWaitEvent");
  }

  /** The smallest room that is free and large enough, but not much too large; else a new one. */
  private PageLocked.Room take(long bytes) {
    PageLocked.Room best = null;
    for (PageLocked.Room room : rooms) {
      boolean fits = room.bytes() >= bytes && room.bytes() <= 2 * Math.max(bytes, 1);
      if (fits && (best == null || room.bytes() < best.bytes())) {
        best = room;
      }
    }
    if (best != null) {
      rooms.remove(best);
      return best;
    }
    return memory.allocate(TensorMemory.allocatedBytes(Device.Type.CPU, bytes)); // few sizes
  }

  private void in(Runnable body) {
    memory.in(body);
  }

  private void check(int code, String call) {
    memory.check(code, call);
  }

  /** Waits for copies under way, and frees all memory on the host, that of open copies too. */
  @Override
  public void close() {
    in(
        () -> {
          check(api.cuEventRecord(computed, side), "cuEventRecord");
          check(api.cuEventSynchronize(computed), "cuEventSynchronize");
          memory.close();
          check(api.cuStreamDestroy_v2(side), "cuStreamDestroy");
        });
    rooms.clear();
  }
}
