package ai.nibble.train;

import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import java.util.function.Supplier;

/** The same of every architecture on a GPU for which nothing compiles kernels. */
class ModelComposedTest extends ModelByKernelsTest {
  @Override
  <V> V byKernels(Supplier<V> body) {
    KernelLaunchers.Installation kernels = KernelForm.COMPOSED.install();
    try (kernels) {
      return body.get();
    }
  }
}
