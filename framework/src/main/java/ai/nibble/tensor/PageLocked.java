package ai.nibble.tensor;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;

/**
 * What copies between the host and a device need so that nobody waits for them: page-locked memory,
 * which copies reach without the processor, and events that happen when a copy is done. All of it
 * is freed by {@link #close}. Used by one thread at a time.
 */
final class PageLocked implements AutoCloseable {
  private final CudaApi api;
  private final CudaContexts contexts;
  private final CudaDriver.CurrentStream streams;
  private final Device device;
  private final Deque<Long> free = new ArrayDeque<>();
  private final List<Long> events = new ArrayList<>();
  private final Set<Long> rooms = new HashSet<>();

  /** Memory at an address. */
  record Room(long address, long bytes) {}

  /**
   * @param api of a driver that is initialised
   */
  PageLocked(CudaApi api, CudaDriver.CurrentStream streams, Device device) {
    this.api = api;
    this.contexts = new CudaContexts(api);
    this.streams = streams;
    this.device = device;
  }

  /** Does something in the device's context. */
  void in(Runnable body) {
    contexts.in(
        device.index(),
        () -> {
          body.run();
          return null;
        });
  }

  /** The stream that libtorch computes on in the calling thread. */
  long stream() {
    LaunchFrame frame = LaunchFrame.ofThread();
    if (streams.get(device.index(), frame.streamAddress()) != 0) {
      throw new TensorException("libtorch names no current stream of " + device);
    }
    return frame.stream();
  }

  /** An event that nobody has; the caller gives it {@linkplain #giveBack back}. */
  long event() {
    if (!free.isEmpty()) {
      return free.pop();
    }
    long[] event = new long[1];
    in(() -> check(api.cuEventCreate(event, CudaApi.CU_EVENT_DISABLE_TIMING), "cuEventCreate"));
    events.add(event[0]);
    return event[0];
  }

  void giveBack(long event) {
    free.push(event);
  }

  /**
   * New memory.
   *
   * @throws TensorException if there is not so much
   */
  Room allocate(long bytes) {
    long[] address = new long[1];
    in(() -> check(api.cuMemHostAlloc(address, bytes, 0), "cuMemHostAlloc of " + bytes + " bytes"));
    rooms.add(address[0]);
    return new Room(address[0], bytes);
  }

  /** Frees memory that no copy reads or writes any more. */
  void free(Room room) {
    in(() -> check(api.cuMemFreeHost(room.address), "cuMemFreeHost"));
    rooms.remove(room.address);
  }

  void check(int code, String call) {
    CudaError.check(api, code, call);
  }

  /** Frees everything; no copy may be under way. */
  @Override
  public void close() {
    in(
        () -> {
          for (long room : rooms) {
            check(api.cuMemFreeHost(room), "cuMemFreeHost");
          }
          for (long event : events) {
            check(api.cuEventDestroy_v2(event), "cuEventDestroy");
          }
        });
    rooms.clear();
    events.clear();
    free.clear();
  }
}
