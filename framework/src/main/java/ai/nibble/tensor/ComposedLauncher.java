package ai.nibble.tensor;

/**
 * Answers launches by the kernels' composed forms, where there is nothing that compiles kernels.
 * The operations are queued on the stream that libtorch uses, as kernels are.
 */
public final class ComposedLauncher implements KernelLauncher {
  /**
   * @param grid is of no account: libtorch divides the work
   * @throws TensorException if the kernel has no composed form, or an operation fails
   */
  @Override
  public void launch(
      CudaProgram program, String kernel, Device device, Grid grid, Object[] arguments) {
    ComposedKernel composed = program.composed(kernel);
    if (composed == null) {
      throw new TensorException(
          "kernel "
              + kernel
              + " of "
              + program
              + " has no form that libtorch's operations compute: it needs NVRTC; 'nibble doctor'"
              + " says where to get it");
    }
    try {
      composed.run(new KernelArguments(kernel, arguments));
    } catch (OutOfMemoryException e) {
      throw e; // names what was asked for, and what there was
    } catch (TensorException e) {
      throw new TensorException(
          CudaProgram.describe(program, kernel, device, grid, arguments)
              + ", by operations of libtorch: "
              + e.getMessage(),
          e);
    }
  }
}
