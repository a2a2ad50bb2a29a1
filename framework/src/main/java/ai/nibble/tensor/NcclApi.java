package ai.nibble.tensor;

/**
 * The calls of NCCL that several GPUs of one process need, under their own names (NCCL user guide,
 * "API"). Each returns an {@code ncclResult_t}, 0 on success. Communicators and streams are native
 * pointers.
 */
interface NcclApi {
  /** {@code ncclUint8}: values are copied as bytes. */
  int NCCL_UINT8 = 1;

  /** Makes the communicators of all devices, written in their order. */
  int ncclCommInitAll(long[] communicators, int count, int[] devices);

  int ncclCommDestroy(long communicator);

  /** Calls until the end of the group are begun together, so that each finds its counterpart. */
  int ncclGroupStart();

  int ncclGroupEnd();

  int ncclSend(long buffer, long count, int type, int peer, long communicator, long stream);

  int ncclRecv(long buffer, long count, int type, int peer, long communicator, long stream);

  /**
   * @param send is read by the root only
   */
  int ncclBroadcast(
      long send, long receive, long count, int type, int root, long communicator, long stream);

  /** A result in words. */
  String ncclGetErrorString(int result);
}
