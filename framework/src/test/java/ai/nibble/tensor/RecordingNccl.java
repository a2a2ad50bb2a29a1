package ai.nibble.tensor;

import com.sun.jna.Pointer;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * NCCL without GPUs: it writes down each call, and at the end of a group does what was asked with
 * the main memory, provided that every call has its counterpart.
 */
public final class RecordingNccl implements NcclApi {
  static final long STREAM = 0x57AEL;
  private static final long COMMUNICATOR = 0xC0L;
  private static final int INVALID_USAGE = 5;

  /** Calls in words. */
  final List<String> calls = new ArrayList<>();

  final Map<String, Integer> failing = new HashMap<>();

  private final List<Transfer> sends = new ArrayList<>();
  private final List<Transfer> receives = new ArrayList<>();
  private final List<Transfer> broadcasts = new ArrayList<>();
  private boolean open;
  private int ranks;

  /** A call in a group: of a rank, with another or the root. */
  private record Transfer(long buffer, long bytes, int rank, int peer) {}

  /** A link by this stand-in between workers whose tensors are in the main memory. */
  public static DeviceLink link(int workers) {
    return new RecordingNccl().linkOf(workers);
  }

  DeviceLink linkOf(int workers) {
    List<Device> devices = new ArrayList<>();
    for (int w = 0; w < workers; w++) {
      devices.add(new Device(Device.Type.CUDA, w));
    }
    return new NcclLink(this, this::stream, devices);
  }

  private int stream(int device, long address) {
    new Pointer(address).setLong(0, STREAM + device);
    return code("stream");
  }

  private int code(String call) {
    return failing.getOrDefault(call, 0);
  }

  private int record(String call, String text) {
    calls.add(call + "(" + text + ")");
    return code(call);
  }

  @Override
  public int ncclCommInitAll(long[] communicators, int count, int[] devices) {
    ranks = count;
    StringBuilder text = new StringBuilder();
    for (int i = 0; i < count; i++) {
      communicators[i] = COMMUNICATOR + i;
      text.append(i == 0 ? "" : " ").append(devices[i]);
    }
    return record("ncclCommInitAll", text.toString());
  }

  @Override
  public int ncclCommDestroy(long communicator) {
    return record("ncclCommDestroy", Long.toHexString(communicator));
  }

  @Override
  public int ncclGroupStart() {
    open = true;
    return record("ncclGroupStart", "");
  }

  @Override
  public int ncclGroupEnd() {
    open = false;
    int code = record("ncclGroupEnd", "");
    boolean paired = transfer() && broadcast();
    sends.clear();
    receives.clear();
    broadcasts.clear();
    return code != 0 ? code : paired ? 0 : INVALID_USAGE;
  }

  /** Whether every send met its receive. */
  private boolean transfer() {
    for (Transfer send : sends) {
      Transfer met =
          receives.stream()
              .filter(r -> r.rank == send.peer && r.peer == send.rank && r.bytes == send.bytes)
              .findFirst()
              .orElse(null);
      if (met == null) {
        return false;
      }
      receives.remove(met);
      copy(met.buffer, send.buffer, send.bytes);
    }
    return receives.isEmpty();
  }

  /** Whether every rank took part. */
  private boolean broadcast() {
    if (broadcasts.isEmpty()) {
      return true;
    }
    Transfer root = broadcasts.stream().filter(b -> b.rank == b.peer).findFirst().orElseThrow();
    broadcasts.forEach(b -> copy(b.buffer, root.buffer, root.bytes));
    return broadcasts.stream().mapToInt(Transfer::rank).distinct().count() == ranks;
  }

  private static void copy(long into, long from, long bytes) {
    if (into != from) {
      new Pointer(into).write(0, new Pointer(from).getByteArray(0, (int) bytes), 0, (int) bytes);
    }
  }

  private int rank(long communicator) {
    return (int) (communicator - COMMUNICATOR);
  }

  private int call(
      String name, List<Transfer> into, Transfer transfer, long communicator, long stream) {
    if (!open || !"".equals(problem(communicator, stream))) {
      throw new AssertionError(name + ": " + problem(communicator, stream));
    }
    into.add(transfer);
    return record(
        name,
        String.format(
            "%d bytes, rank %d, peer %d, stream %x",
            transfer.bytes, transfer.rank, transfer.peer, stream));
  }

  /** A communicator's calls are on its own device's stream. */
  private String problem(long communicator, long stream) {
    return stream == STREAM + rank(communicator) ? "" : "stream of another device, or no group";
  }

  @Override
  public int ncclSend(long buffer, long count, int type, int peer, long communicator, long stream) {
    Transfer transfer = new Transfer(buffer, count, rank(communicator), peer);
    return call("ncclSend", sends, transfer, communicator, stream);
  }

  @Override
  public int ncclRecv(long buffer, long count, int type, int peer, long communicator, long stream) {
    Transfer transfer = new Transfer(buffer, count, rank(communicator), peer);
    return call("ncclRecv", receives, transfer, communicator, stream);
  }

  @Override
  public int ncclBroadcast(
      long send, long receive, long count, int type, int root, long communicator, long stream) {
    Transfer transfer = new Transfer(receive, count, rank(communicator), root);
    return call("ncclBroadcast", broadcasts, transfer, communicator, stream);
  }

  @Override
  public String ncclGetErrorString(int result) {
    return "reason " + result;
  }
}
