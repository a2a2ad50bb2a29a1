package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import org.junit.jupiter.api.Test;

class HeadWeightTest {
  private static final Precision FLOAT32 = new Precision(DType.FLOAT32, DType.FLOAT32);
  private static final Precision WIDENED = new Precision(DType.BFLOAT16, DType.FLOAT32);

  @Test
  void aHeadHeldInTheProductsDtypeIsNotCopied() {
    try (DenseWeight head = new DenseWeight(Tensor.of(new float[] {1, 2}, 1, 2));
        Tensor opened = new HeadWeight(head, FLOAT32).open()) {
      assertEquals(0, new HeadWeight(head, FLOAT32).copyBytes());
      head.tensor().floats().put(0, 7);
      assertArrayEquals(new float[] {7, 2}, opened.toFloats());
    }
  }

  @Test
  void aFloat32HeadIsRoundedToBfloat16BeforeItIsWidened() {
    float fine = 1 + 0x1p-12f;
    try (DenseWeight head = new DenseWeight(Tensor.of(new float[] {fine, 2}, 1, 2));
        Workspace work = new Workspace();
        Tensor opened = new HeadWeight(head, WIDENED).open();
        Tensor reused = new HeadWeight(head, WIDENED).open(work)) {
      assertEquals(8, new HeadWeight(head, WIDENED).copyBytes());
      assertEquals(DType.FLOAT32, opened.dtype());
      assertArrayEquals(new float[] {1, 2}, opened.toFloats());
      assertArrayEquals(new float[] {1, 2}, reused.toFloats());
    }
  }
}
