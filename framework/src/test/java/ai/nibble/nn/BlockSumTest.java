package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import org.junit.jupiter.api.Test;

class BlockSumTest {
  /** {@code [[1], [1]]} of which a sum gets {@code blocks} products with {@code [[value]]}. */
  private static float[] sum(DType dtype, int blocks, double value) {
    long live = Tensor.live();
    float[] result;
    try (Tensor target = Tensor.zeros(dtype, 2, 1);
        Tensor ones = Tensor.of(new float[] {1, 1}, 2, 1);
        Tensor one = Tensor.of(new float[] {1}, 1, 1);
        Tensor a = ones.to(dtype);
        Tensor first = one.to(dtype);
        Tensor b = one.to(dtype);
        BlockSum sum = new BlockSum(target, blocks)) {
      sum.add(a, b, 1);
      for (int i = 1; i < blocks; i++) {
        sum.add(first, b, value);
      }
      sum.finish();
      result = target.toFloats();
    }
    assertEquals(live, Tensor.live());
    return result;
  }

  @Test
  void aFewProductsAreAddedToTheirRows() {
    for (DType dtype : new DType[] {DType.FLOAT32, DType.BFLOAT16}) {
      assertArrayEquals(new float[] {2.75f, 1}, sum(dtype, 8, 0.25));
    }
  }

  @Test
  void manySmallProductsAreNotLostInBfloat16() {
    // 2⁻⁹ is a quarter of bfloat16's unit at 1: added one at a time it would change nothing
    assertArrayEquals(new float[] {1.5f, 1}, sum(DType.BFLOAT16, 257, 0x1p-9));
    assertArrayEquals(new float[] {1.5f, 1}, sum(DType.FLOAT32, 257, 0x1p-9));
  }
}
