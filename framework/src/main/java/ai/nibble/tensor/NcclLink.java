package ai.nibble.tensor;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import java.util.List;
import java.util.function.IntSupplier;

/**
 * Values sent by NCCL between the GPUs of this process, on the streams that libtorch computes on.
 * What is summed is summed by the receiver, in its own order: NCCL only carries it.
 */
final class NcclLink implements DeviceLink {
  private final NcclApi api;
  private final CudaDriver.CurrentStream streams;
  private final List<Device> devices;
  private final long[] communicators;

  /** Where libtorch writes a stream. */
  private final Memory stream = new Memory(Long.BYTES);

  private boolean closed;

  /**
   * @param devices of the workers, all different
   */
  NcclLink(NcclApi api, CudaDriver.CurrentStream streams, List<Device> devices) {
    this.api = api;
    this.streams = streams;
    this.devices = List.copyOf(devices);
    this.communicators = new long[devices.size()];
    int[] ordinals = devices.stream().mapToInt(Device::index).toArray();
    check(api.ncclCommInitAll(communicators, ordinals.length, ordinals), "ncclCommInitAll");
  }

  @Override
  public boolean shares(int worker, int other) {
    return worker == other;
  }

  @Override
  public void copy(int worker, Tensor into, int other, Tensor from) {
    require(into, from);
    long bytes = from.byteSize();
    group(
        () -> {
          int sent =
              api.ncclSend(
                  from.address(),
                  bytes,
                  NcclApi.NCCL_UINT8,
                  worker,
                  communicators[other],
                  stream(other));
          return sent != 0
              ? sent
              : api.ncclRecv(
                  into.address(),
                  bytes,
                  NcclApi.NCCL_UINT8,
                  other,
                  communicators[worker],
                  stream(worker));
        },
        "ncclSend from " + devices.get(other) + " to " + devices.get(worker));
  }

  @Override
  public void broadcast(List<Tensor> ofEach) {
    ofEach.forEach(tensor -> require(tensor, ofEach.get(0)));
    group(
        () -> {
          int result = 0;
          for (int worker = 0; worker < communicators.length && result == 0; worker++) {
            long address = ofEach.get(worker).address();
            result =
                api.ncclBroadcast(
                    address,
                    address,
                    ofEach.get(0).byteSize(),
                    NcclApi.NCCL_UINT8,
                    0,
                    communicators[worker],
                    stream(worker));
          }
          return result;
        },
        "ncclBroadcast from " + devices.get(0));
  }

  private static void require(Tensor a, Tensor b) {
    if (a.dtype() != b.dtype()
        || a.numel() != b.numel()
        || !a.isContiguous()
        || !b.isContiguous()) {
      throw new TensorException("values of " + b + " for " + a);
    }
  }

  /** Makes calls that wait for each other together. */
  private void group(IntSupplier calls, String what) {
    check(api.ncclGroupStart(), "ncclGroupStart");
    int result;
    int ended;
    try {
      result = calls.getAsInt();
    } finally {
      ended = api.ncclGroupEnd();
    }
    check(result, what);
    check(ended, what);
  }

  private long stream(int worker) {
    if (streams.get(devices.get(worker).index(), Pointer.nativeValue(stream)) != 0) {
      throw new TensorException("libtorch names no current stream; it gave its reason on stderr");
    }
    return stream.getLong(0);
  }

  private void check(int result, String what) {
    if (result != 0) {
      throw new TensorException(what + ": NCCL: " + api.ncclGetErrorString(result));
    }
  }

  @Override
  public String description() {
    return "NCCL";
  }

  @Override
  public void close() {
    if (!closed) {
      closed = true;
      for (long communicator : communicators) {
        check(api.ncclCommDestroy(communicator), "ncclCommDestroy");
      }
    }
  }
}
