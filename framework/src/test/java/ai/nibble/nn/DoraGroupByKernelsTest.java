package ai.nibble.nn;

import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/** The same facts about magnitudes when kernels compute what operations of libtorch do not. */
@ParameterizedClass
@EnumSource
class DoraGroupByKernelsTest extends DoraGroupTest {
  @Parameter KernelForm form;
  private KernelLaunchers.Installation kernels;

  @BeforeEach
  void install() {
    kernels = form.install();
  }

  @AfterEach
  void remove() {
    if (kernels != null) {
      kernels.close();
    }
  }
}
