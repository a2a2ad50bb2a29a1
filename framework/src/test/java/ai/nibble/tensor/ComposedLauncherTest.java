package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.cuda.Probe;
import ai.nibble.cuda.Programs;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/** Every kernel has a composed form; what the forms compute is in the kernels' own tests. */
class ComposedLauncherTest {
  private static final CudaProgram AXPY = CudaProgram.of(ComposedLauncherTest.class, "axpy.cu");

  @Test
  void everyKernelHasAComposedForm() throws IOException {
    List<String> without = new ArrayList<>();
    int kernels = 0;
    for (CudaProgram program : Programs.all()) {
      for (String kernel : HostKernels.names(program)) {
        kernels++;
        if (program.composed(kernel) == null) {
          without.add(program + ": " + kernel);
        }
      }
    }
    assertEquals(List.of(), without);
    // 44 that are made for three dtypes, product4 for two, and 12 for one
    assertEquals(3 * 44 + 2 + 12, kernels);
  }

  private static String failed(CudaProgram program, Object... arguments) {
    KernelLauncher launcher = new ComposedLauncher();
    return assertThrows(
            TensorException.class,
            () -> launcher.launch(program, "axpy_f32", Device.CPU, Grid.of(1, 32), arguments))
        .getMessage();
  }

  @Test
  void aKernelWithoutOneIsNamed() {
    assertEquals(
        "kernel axpy_f32 of axpy.cu has no form that libtorch's operations compute: it needs NVRTC;"
            + " 'nibble doctor' says where to get it",
        failed(AXPY));
  }

  @Test
  void aFailureNamesTheKernelAndItsOperands() {
    CudaProgram program =
        AXPY.composedAs(
            Map.of(
                "axpy",
                arguments -> {
                  try (Aten at = new Aten()) {
                    at.mul(arguments.tensor(), arguments.tensor());
                  }
                }));
    try (Tensor two = Tensor.zeros(DType.FLOAT32, 2);
        Tensor three = Tensor.zeros(DType.FLOAT32, 3)) {
      String message = failed(program, two, three);
      assertTrue(
          message.startsWith(
              "kernel axpy_f32(float32[2], float32[3]) of axpy.cu on cpu, 1x1x1 blocks of 32"
                  + " threads, 0 shared bytes, by operations of libtorch: aten::mul.Tensor failed"),
          message);
      assertTrue(
          failed(program, two, null).endsWith("argument 1 is null, expected a Tensor"), message);
    }
  }

  @Test
  void theProbeOfTheDoctorRunsComposed() {
    try (KernelLaunchers.Installation composed = KernelForm.COMPOSED.install()) {
      assertNotNull(composed);
      Probe.run(Device.CPU);
      assertTrue(KernelLaunchers.composes(Device.CPU));
    }
    assertFalse(KernelLaunchers.composes(Device.CPU));
  }
}
