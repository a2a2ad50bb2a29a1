package ai.nibble.tensor;

import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import java.util.Optional;

/**
 * NCCL as libtorch uses it: {@code libnccl.so.2}, which is in the process once {@code
 * libtorch_cuda.so} is, or the copy that the latter has in itself.
 */
final class Nccl implements NcclApi {
  private static final NativeLibrary LIBRARY = open();

  static {
    if (LIBRARY != null) {
      Native.register(Nccl.class, LIBRARY);
    }
  }

  private Nccl() {}

  private static NativeLibrary open() {
    NativeLibrary cuda = NativeLibraries.cuda().library();
    if (cuda == null) {
      return null;
    }
    try {
      return NativeLibrary.getInstance("libnccl.so.2");
    } catch (UnsatisfiedLinkError e) {
      return has(cuda) ? cuda : null;
    }
  }

  private static boolean has(NativeLibrary library) {
    try {
      return library.getFunction("ncclCommInitAll") != null;
    } catch (UnsatisfiedLinkError e) {
      return false;
    }
  }

  /** The library; empty where libtorch computes on no GPU, or has none. */
  static Optional<NcclApi> find() {
    return LIBRARY == null ? Optional.empty() : Optional.of(new Nccl());
  }

  @Override
  public native int ncclCommInitAll(long[] communicators, int count, int[] devices);

  @Override
  public native int ncclCommDestroy(long communicator);

  @Override
  public native int ncclGroupStart();

  @Override
  public native int ncclGroupEnd();

  @Override
  public native int ncclSend(
      long buffer, long count, int type, int peer, long communicator, long stream);

  @Override
  public native int ncclRecv(
      long buffer, long count, int type, int peer, long communicator, long stream);

  @Override
  public native int ncclBroadcast(
      long send, long receive, long count, int type, int root, long communicator, long stream);

  @Override
  public native String ncclGetErrorString(int result);
}
