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

/** The same facts about trained weights when kernels compute them. */
class TrainedWeightsByKernelsTest extends TrainedWeightsTest {
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
  void normsWeightsOfEveryScale(DType dtype, NormScale scale) {
    assertNoKernel(() -> super.normsWeightsOfEveryScale(dtype, scale));
  }

  @Override
  @Test
  void weightsOfNormsOfWholeProjections() {
    assertNoKernel(super::weightsOfNormsOfWholeProjections);
  }

  @Override
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void embeddingThatIsScaled(DType dtype) {
    assertNoKernel(() -> super.embeddingThatIsScaled(dtype));
  }

  @AfterEach
  void remove() {
    if (kernels != null) {
      kernels.close();
    }
  }
}
