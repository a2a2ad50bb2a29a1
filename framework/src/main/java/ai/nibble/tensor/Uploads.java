package ai.nibble.tensor;

import com.sun.jna.Pointer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.function.Function;
import org.slf4j.LoggerFactory;

/**
 * Values on their way from Java arrays to a device's tensors: written to page-locked memory and
 * copied from there on the stream that libtorch computes on, so that what is queued afterwards
 * reads them and the host waits for nothing.
 *
 * <p>The memory is a ring. A piece of it is written anew when the event behind its copy has
 * happened; only where the ring is full the host waits for its oldest piece, and then the device
 * has plenty to do. It grows with what is copied, up to a bound; what is larger, and all where
 * there is no page-locked memory, is copied by libtorch, which waits.
 *
 * <p>A device has one ring, whose memory stays until the process ends, as contexts and programs do.
 * Threads take turns with it: each copies on its own current stream, and each piece has the event
 * of its own copy.
 */
final class Uploads implements AutoCloseable {
  /** Bytes of a ring at first: what some hundred thousand tokens of micro-batches need. */
  private static final long FIRST = 4 << 20;

  private static final long MOST = 64 << 20;

  /** Pieces of the largest size so far that a ring has the room for. */
  private static final long PIECES = 4;

  private static final int ALIGNMENT = 64;

  private static final Map<Device, Uploads> BY_DEVICE = new ConcurrentHashMap<>();

  private static final Map<Device.Type, Function<Device, Uploads>> INSTALLED =
      new EnumMap<>(Device.Type.class);

  private final CudaApi api;
  private final PageLocked memory;
  private final Device device;
  private final long first;
  private final Consumer<String> warnings;
  private long most;
  private PageLocked.Room ring;
  private ByteBuffer bytes;

  /** Pieces whose copies may be under way, oldest first; they follow each other in the ring. */
  private final Deque<Piece> pieces = new ArrayDeque<>();

  /** Where the newest piece ends. */
  private int head;

  private record Piece(int begin, long event) {}

  /**
   * @param api of a driver that is initialised
   * @param first bytes of the ring at first
   * @param most bytes up to which it grows
   * @param warnings hears once that there is no page-locked memory
   */
  Uploads(
      CudaApi api,
      CudaDriver.CurrentStream streams,
      Device device,
      long first,
      long most,
      Consumer<String> warnings) {
    this.api = api;
    this.memory = new PageLocked(api, streams, device);
    this.device = device;
    this.first = first;
    this.most = most;
    this.warnings = warnings;
  }

  /** The ring of a device; null where tensors are in the host's memory. */
  static Uploads to(Device device) {
    if (device.equals(Device.CPU)) {
      return null;
    }
    Uploads known = BY_DEVICE.get(device);
    return known != null ? known : make(device);
  }

  private static Uploads make(Device device) {
    synchronized (INSTALLED) {
      Function<Device, Uploads> installed = INSTALLED.get(device.type());
      if (installed == null && device.isCpu()) {
        return null; // pretended: its memory is the host's
      }
      return BY_DEVICE.computeIfAbsent(device, installed != null ? installed : Uploads::ofDriver);
    }
  }

  private static Uploads ofDriver(Device device) {
    return new Uploads(
        CudaProcess.driver().api(),
        LibtorchCuda::aoti_torch_get_current_cuda_stream,
        device,
        FIRST,
        MOST,
        LoggerFactory.getLogger(Uploads.class)::warn);
  }

  /**
   * Puts others in force for a kind of device but {@link Device#CPU} itself, until what is given is
   * closed, which closes them.
   */
  static KernelLaunchers.Installation install(Device.Type type, Function<Device, Uploads> uploads) {
    synchronized (INSTALLED) {
      if (INSTALLED.putIfAbsent(type, uploads) != null) {
        throw new IllegalStateException("uploads are installed for " + type + " already");
      }
    }
    return () -> {
      synchronized (INSTALLED) {
        INSTALLED.remove(type, uploads);
        BY_DEVICE.entrySet().stream()
            .filter(e -> e.getKey().type() == type)
            .forEach(e -> e.getValue().close());
        BY_DEVICE.keySet().removeIf(device -> device.type() == type);
      }
    };
  }

  /**
   * Queues values for a tensor.
   *
   * @param to contiguous, on the device, below 2 GiB; it may be read by what is queued from now on
   * @param values writes all bytes of the tensor, little-endian
   * @return false, with nothing done, where the ring does not take so much
   */
  synchronized boolean write(Tensor to, Consumer<ByteBuffer> values) {
    long size = to.byteSize();
    if (size == 0) {
      return true;
    }
    if (size > most || !takes(size)) {
      return false;
    }
    int at = reserve((int) size);
    values.accept(bytes.slice(at, (int) size).order(ByteOrder.LITTLE_ENDIAN));
    memory.in(() -> copy(to, at, size));
    head = at + aligned((int) size);
    return true;
  }

  private void copy(Tensor to, int at, long size) {
    long stream = memory.stream();
    long event = memory.event();
    int code = api.cuMemcpyHtoDAsync_v2(to.address(), ring.address() + at, size, stream);
    memory.check(code, "cuMemcpyHtoDAsync");
    code = api.cuEventRecord(event, stream);
    if (code != 0) {
      most = 0; // nobody knows when the copy is done: the ring is of no use any more
    }
    memory.check(code, "cuEventRecord");
    pieces.add(new Piece(at, event));
  }

  /** Whether the ring has the room for so many bytes, several times over if it may grow so far. */
  private boolean takes(long size) {
    long several = Long.highestOneBit(2 * PIECES * size - 1); // rounded up to a power of two
    long wanted = Math.min(Math.max(first, several), most);
    if (ring == null || ring.bytes() < wanted) {
      grow(wanted);
    }
    return ring != null && size <= ring.bytes();
  }

  private void grow(long wanted) {
    PageLocked.Room larger;
    try {
      larger = memory.allocate(wanted);
    } catch (TensorException e) {
      most = ring == null ? 0 : ring.bytes();
      warnings.accept(
          "not enough page-locked memory for copies to "
              + device
              + " ("
              + e.getMessage()
              + "): "
              + (ring == null ? "" : "of more than " + most + " bytes ")
              + "each makes the host wait for the GPU, which is slower and gives the same results");
      return;
    }
    if (ring != null) {
      waitForAll();
      memory.free(ring);
    }
    ring = larger;
    bytes = new Pointer(larger.address()).getByteBuffer(0, larger.bytes());
    head = 0;
  }

  /** Where a piece of so many bytes may be written, which waits if it must. */
  private int reserve(int size) {
    while (!pieces.isEmpty() && isDone(pieces.element())) {
      memory.giveBack(pieces.remove().event);
    }
    int at = roomFor(aligned(size));
    while (at < 0) {
      waitForOldest();
      at = roomFor(aligned(size));
    }
    return at;
  }

  /** The begin of so many free bytes behind the newest piece, or of the ring; negative: none. */
  private int roomFor(int size) {
    if (pieces.isEmpty()) {
      return 0;
    }
    int tail = pieces.element().begin;
    if (head <= tail) { // it went round, and is full where the two meet
      return tail - head >= size ? head : -1;
    }
    if (ring.bytes() - head >= size) {
      return head;
    }
    return tail >= size ? 0 : -1;
  }

  private static int aligned(int size) {
    return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }

  private boolean isDone(Piece piece) {
    int code = api.cuEventQuery(piece.event);
    if (code != CudaApi.CUDA_ERROR_NOT_READY) {
      memory.check(code, "cuEventQuery");
    }
    return code == 0;
  }

  private void waitForOldest() {
    Piece oldest = pieces.remove();
    memory.in(() -> memory.check(api.cuEventSynchronize(oldest.event), "cuEventSynchronize"));
    memory.giveBack(oldest.event);
  }

  private void waitForAll() {
    while (!pieces.isEmpty()) {
      waitForOldest();
    }
  }

  /** Waits for copies under way, and frees the memory. */
  @Override
  public synchronized void close() {
    waitForAll();
    memory.close();
    ring = null;
    most = 0;
  }
}
