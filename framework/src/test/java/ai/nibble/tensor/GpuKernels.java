package ai.nibble.tensor;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Runs kernels on the first GPU with tensors of the CPU, by copies there and back: the tests of
 * kernels run so where there is a GPU, with {@code -Dnibble.kernels=gpu}.
 */
final class GpuKernels implements KernelLauncher {
  private static final Device GPU = new Device(Device.Type.CUDA, 0);

  private final KernelLauncher there;

  /**
   * @param there launches on the GPU
   */
  GpuKernels(KernelLauncher there) {
    this.there = there;
  }

  @Override
  public void launch(
      CudaProgram program, String kernel, Device device, Grid grid, Object[] arguments) {
    try (Scope scope = new Scope()) {
      // memory by its first address: arguments that are the same memory stay so
      Map<Long, Tensor> hosts = new LinkedHashMap<>();
      for (Object argument : arguments) {
        if (argument instanceof Tensor t) {
          Tensor reach = scope.own(reach(t));
          hosts.merge(t.address(), reach, (a, b) -> a.numel() >= b.numel() ? a : b);
        }
      }
      Map<Long, Tensor> copies = new LinkedHashMap<>();
      hosts.forEach((address, host) -> copies.put(address, scope.own(host.to(GPU))));
      Object[] moved = arguments.clone();
      for (int i = 0; i < moved.length; i++) {
        if (moved[i] instanceof Tensor t) {
          moved[i] = scope.own(like(t, copies.get(t.address())));
        }
      }
      there.launch(program, kernel, GPU, grid, moved);
      hosts.forEach((address, host) -> host.copyFrom(copies.get(address)));
    }
  }

  /** The tensor's shape and strides on the memory that begins with a copy of its first element. */
  private static Tensor like(Tensor t, Tensor copy) {
    long[] strides = new long[t.dim()];
    Arrays.setAll(strides, t::stride);
    return copy.asStrided(t.shape(), strides, 0);
  }

  /** Everything from a tensor's first element to its last, whatever lies between. */
  private static Tensor reach(Tensor t) {
    long elements = t.numel() == 0 ? 0 : 1;
    for (int d = 0; d < t.dim() && elements > 0; d++) {
      elements += (t.size(d) - 1) * t.stride(d);
    }
    return t.asStrided(new long[] {elements}, new long[] {1}, 0);
  }
}
