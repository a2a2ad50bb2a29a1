package ai.nibble.tensor;

/** What a kernel does, done by operations of libtorch: slower, but without a compiler. */
@FunctionalInterface
public interface ComposedKernel {
  /**
   * Queues the operations. Nothing waits for the device.
   *
   * @param arguments the kernel's, in its order
   */
  void run(KernelArguments arguments);
}
