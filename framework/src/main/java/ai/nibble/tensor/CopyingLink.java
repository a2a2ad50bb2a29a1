package ai.nibble.tensor;

/**
 * Values copied by libtorch, whose copies between two GPUs are in order with both of their streams.
 *
 * @param sharesMemory whether all workers' tensors are in one memory
 */
record CopyingLink(boolean sharesMemory, String description) implements DeviceLink {
  @Override
  public boolean shares(int worker, int other) {
    return sharesMemory;
  }

  @Override
  public void copy(int worker, Tensor into, int other, Tensor from) {
    into.copyFrom(from);
  }

  @Override
  public void close() {}
}
