package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class CausalMaskTest {
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void aTokenSeesItsOwnSequenceUpToItself(DType dtype) {
    // tokens 2 to 6 are a span of two sequences, 2 3 4 and 5 6; the block is tokens 4 5 6
    int[] positions = {0, 1, 0, 1, 2, 0, 1};
    AttentionSpan span = new AttentionSpan(2, 7);
    AttentionSpan block = new AttentionSpan(4, 7);
    float no = Float.NEGATIVE_INFINITY;
    float[] expected = {
      0, 0, 0, no, no, // token 4, first query head of the group
      0, 0, 0, no, no, no, no, no, 0, no, // token 5
      no, no, no, 0, no, no, no, no, 0, 0, // token 6
      no, no, no, 0, 0,
    };
    try (Tensor scores = Tensor.zeros(dtype, 6, 5)) {
      new CausalMask(positions, 2).apply(scores, span, block);
      assertArrayEquals(expected, scores.toFloats());
    }
  }
}
