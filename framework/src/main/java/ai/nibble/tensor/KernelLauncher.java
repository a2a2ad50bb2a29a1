package ai.nibble.tensor;

/**
 * Where the launches of a kind of device go: the CUDA driver, operations of libtorch, or in tests
 * something else.
 */
public interface KernelLauncher {
  /**
   * Runs a kernel, or queues it so that it runs after what was queued before.
   *
   * @param kernel name of an {@code extern "C" __global__} function of the program
   * @param device that all tensors among the arguments are on
   * @param grid of at least one block
   * @param arguments each a {@link Tensor} (the address of its first element), null (a null
   *     pointer), an {@link Integer}, {@link Long}, {@link Float} or {@link Double}
   * @throws TensorException if the program cannot be compiled or the kernel cannot be run
   */
  void launch(CudaProgram program, String kernel, Device device, Grid grid, Object[] arguments);
}
