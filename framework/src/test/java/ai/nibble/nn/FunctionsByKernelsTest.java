package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The same facts about functions when kernels compute them. */
class FunctionsByKernelsTest extends FunctionsTest {
  private KernelLaunchers.Installation kernels;

  @BeforeEach
  void install() {
    kernels = HostKernels.install();
  }

  /** A GPU is refused such a model when it is loaded. */
  private static void assertNoKernel(Executable test) {
    String message = assertThrows(IllegalStateException.class, test).getMessage();
    assertTrue(message.contains("no kernel"), message);
  }

  @Override
  @ParameterizedTest
  @CsvSource({"FLOAT32, EXACT", "BFLOAT16, OFFSET"})
  void rmsNormOfEveryScaleAgreesWithTheEngine(DType dtype, NormScale scale) {
    assertNoKernel(() -> super.rmsNormOfEveryScaleAgreesWithTheEngine(dtype, scale));
  }

  @Override
  @ParameterizedTest
  @EnumSource(names = {"EXACT", "OFFSET"})
  void aScaleInFloat32IsRoundedOnce(NormScale scale) {
    assertNoKernel(() -> super.aScaleInFloat32IsRoundedOnce(scale));
  }

  @Override
  @Test
  void normsOfWholeProjectionsAgreeWithTheEngine() {
    assertNoKernel(super::normsOfWholeProjectionsAgreeWithTheEngine);
  }

  @Override
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void crossEntropyOfCappedLogitsAgreesWithTheEngine(DType dtype) {
    assertNoKernel(() -> super.crossEntropyOfCappedLogitsAgreesWithTheEngine(dtype));
  }

  @AfterEach
  void remove() {
    if (kernels != null) {
      kernels.close();
    }
  }
}
