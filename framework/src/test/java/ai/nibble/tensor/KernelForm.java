package ai.nibble.tensor;

/**
 * The forms of a kernel that its tests run: compiled, and composed of libtorch's operations. With
 * {@code -Dnibble.kernels=gpu} both run on the first GPU, on copies of the tensors.
 */
public enum KernelForm {
  COMPILED {
    @Override
    public KernelLaunchers.Installation install() {
      return HostKernels.install();
    }
  },
  COMPOSED {
    @Override
    public KernelLaunchers.Installation install() {
      KernelLauncher composed = new ComposedLauncher();
      return KernelLaunchers.install(
          Device.Type.CPU, HostKernels.areOnGpu() ? new GpuKernels(composed) : composed);
    }
  };

  /** Puts it in force for CPU tensors; skips the calling test where it cannot run. */
  public abstract KernelLaunchers.Installation install();
}
