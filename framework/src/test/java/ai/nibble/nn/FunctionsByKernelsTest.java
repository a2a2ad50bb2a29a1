package ai.nibble.nn;

import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;

/** The same facts about functions when kernels compute them. */
class FunctionsByKernelsTest extends FunctionsTest {
  private KernelLaunchers.Installation kernels;

  @BeforeEach
  void install() {
    kernels = HostKernels.install();
  }

  @AfterEach
  void remove() {
    if (kernels != null) {
      kernels.close();
    }
  }
}
