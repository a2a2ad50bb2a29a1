package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Torch;
import java.util.function.Supplier;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;

/** The same of every architecture on a GPU, by its kernels and libtorch's. */
@Tag("gpu")
class ModelOnGpuTest extends ModelByKernelsTest {
  private Device gpu;

  @BeforeEach
  void findGpu() {
    gpu = LoadOptions.autoDevice();
    assumeFalse(gpu.isCpu(), "skipped: needs an NVIDIA GPU that libtorch and NVRTC can use");
    assertFalse(Torch.allowsTf32(), "products of float32 are of TF32, which is no float32");
  }

  @Override
  <V> V byKernels(Supplier<V> body) {
    device = gpu;
    try {
      return body.get();
    } finally {
      device = Device.CPU;
    }
  }
}
