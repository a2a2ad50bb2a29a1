package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

/** What is said where a GPU's memory does not suffice. */
public class OutOfMemoryExceptionTest {
  private static final Gpu GPU = new Gpu(0, "NVIDIA H100 80GB HBM3", 90, 132, 80_000_000_000L);

  /** One as libtorch's failures become, for tests of those who catch it. */
  public static OutOfMemoryException example() {
    return (OutOfMemoryException)
        OutOfMemoryException.of("mm failed", GPU, 5_250_000_000L, 1_000_000_000L);
  }

  @Test
  void whatWasAskedAndWhatIsFreeAreSaid() {
    assertEquals(
        "cuda:0 (NVIDIA H100 80GB HBM3) is out of memory: asked for 5.25 GB, 1.00 of 80.00 GB are"
            + " free; mm failed",
        example().getMessage());
    assertEquals(
        "step 3: " + example().getMessage() + "; then",
        example().during("step 3", "then").getMessage());
  }

  @Test
  void otherFailuresStayWhatTheyAre() {
    TensorException enough = OutOfMemoryException.of("mm failed", GPU, 1000, 4_000_000_001L);
    assertEquals("mm failed", enough.getMessage());
    assertFalse(enough instanceof OutOfMemoryException);
    TensorException workspace = OutOfMemoryException.of("mm failed", GPU, 1000, 3_999_999_999L);
    assertTrue(workspace instanceof OutOfMemoryException);
  }

  @Test
  void failuresOnTheCpuAreNotOfAGpu() {
    try (Tensor a = Tensor.zeros(DType.FLOAT32, 2, 3);
        Tensor out = Tensor.zeros(DType.FLOAT32, 1, 3);
        Tensor index = Tensor.ofIndices(new int[] {7})) {
      String seen =
          assertThrows(TensorException.class, () -> Ops.indexSelect(out, a, index)).getMessage();
      assertTrue(seen.startsWith("aten::index_select.out failed on [float32[2, 3], 0, "), seen);
    }
  }
}
