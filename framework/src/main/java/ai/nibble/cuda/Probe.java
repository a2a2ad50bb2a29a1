package ai.nibble.cuda;

import ai.nibble.cuda.composed.Trial;
import ai.nibble.tensor.CudaProgram;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Grid;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;

/** The smallest kernel that shows whether kernels run on a device, from source to result. */
public final class Probe {
  static final CudaProgram PROGRAM =
      CudaProgram.of(Probe.class, "probe.cu").composedAs(Trial.KERNELS);

  private static final int ELEMENTS = 1000;
  private static final int THREADS = 256;

  private Probe() {}

  /**
   * Compiles, launches and checks one kernel; without a compiler what it is composed of.
   *
   * @throws TensorException if that fails, or the result is not the expected one
   */
  public static void run(Device device) {
    float[] values = new float[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
      values[i] = i;
    }
    try (Tensor host = Tensor.of(values, ELEMENTS);
        Tensor in = host.to(device);
        Tensor out = Tensor.empty(device, in.dtype(), ELEMENTS)) {
      Grid grid = Grid.covering(ELEMENTS, THREADS, THREADS);
      long n = ELEMENTS;
      PROGRAM.launch("probe_f32", device, grid, out, in, n, null, 3, 0.5f, -7.0, 1L << 20);
      float[] result = out.toFloats();
      for (int i = 0; i < ELEMENTS; i++) {
        // exact: all terms are halves below 2^21
        float expected = 0.5f * i + 3 - 7 + (1 << 20);
        if (result[i] != expected) {
          throw new TensorException(
              "kernel probe_f32 on " + device + " gave " + result[i] + ", expected " + expected);
        }
      }
    }
  }
}
