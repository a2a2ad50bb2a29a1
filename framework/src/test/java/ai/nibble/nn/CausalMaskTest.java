package ai.nibble.nn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class CausalMaskTest {
  private static Attention attention(int group, int window) {
    return new Attention(group, 1, new RotaryTable(new float[] {1}, 1), 1, window);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void aTokenSeesItsOwnSequenceUpToItself(DType dtype) {
    // tokens 2 to 6 are a span of two sequences, 2 3 4 and 5 6; the block is tokens 4 5 6
    Pass pass = Pass.evaluating(0, 2, 5, 7);
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
      CausalMask.of(pass, attention(2, 0)).apply(scores, span, block);
      assertArrayEquals(expected, scores.toFloats());
    }
  }

  @Test
  void aBranchSeesItsTrunkAndItself() {
    // a sequence of one token; a trunk 1 2 with the branches 3 4 and 5
    Pass pass = Pass.branching(new int[] {0, 1, 3, 5, 6}, new int[] {-1, -1, 1, 1});
    assertArrayEquals(new int[] {0, 0, 1, 2, 3, 2}, pass.positions());
    assertArrayEquals(new int[] {0, 1, 6}, pass.treeStarts());
    AttentionSpan span = new AttentionSpan(1, 6);
    float no = Float.NEGATIVE_INFINITY;
    float[] expected = {
      0, no, no, no, no, // token 1
      0, 0, no, no, no, // token 2
      0, 0, 0, no, no, // token 3
      0, 0, 0, 0, no, // token 4
      0, 0, no, no, 0, // token 5
    };
    try (Tensor scores = Tensor.zeros(DType.FLOAT32, 5, 5)) {
      CausalMask.of(pass, attention(1, 0)).apply(scores, span, span);
      assertArrayEquals(expected, scores.toFloats());
    }
  }

  @Test
  void aWindowEndsWithTheTokenItself() {
    // a sequence of one token, one of four
    Pass pass = Pass.evaluating(0, 1, 5);
    AttentionSpan span = new AttentionSpan(0, 5);
    float no = Float.NEGATIVE_INFINITY;
    float[] expected = {
      0, no, no, no, no, // token 0
      no, 0, no, no, no, // token 1
      no, 0, 0, no, no, // token 2
      no, no, 0, 0, no, // token 3
      no, no, no, 0, 0, // token 4
    };
    try (Tensor scores = Tensor.zeros(DType.FLOAT32, 5, 5)) {
      CausalMask.of(pass, attention(1, 2)).apply(scores, span, span);
      assertArrayEquals(expected, scores.toFloats());
    }
  }

  @Test
  void aBranchsWindowReachesIntoItsTrunkByPositions() {
    // a trunk 0 1 2 with the branches 3 and 4 5 6
    Pass pass = Pass.branching(new int[] {0, 3, 4, 7}, new int[] {-1, 0, 0});
    AttentionSpan span = new AttentionSpan(0, 7);
    float no = Float.NEGATIVE_INFINITY;
    float[] expected = {
      0, no, no, no, no, no, no, // token 0
      0, 0, no, no, no, no, no, // token 1
      no, 0, 0, no, no, no, no, // token 2
      no, no, 0, 0, no, no, no, // token 3
      no, no, 0, no, 0, no, no, // token 4
      no, no, no, no, 0, 0, no, // token 5
      no, no, no, no, no, 0, 0, // token 6
    };
    try (Tensor scores = Tensor.zeros(DType.FLOAT32, 7, 7)) {
      CausalMask.of(pass, attention(1, 2)).apply(scores, span, span);
      assertArrayEquals(expected, scores.toFloats());
    }
  }

  @Test
  void aBranchAwayFromItsTrunkIsRefused() {
    int[] starts = {0, 1, 2, 3};
    for (int[] trunks : new int[][] {{-1, -1, 0}, {0, -1, -1}, {-1, 1, -1}, {-1, 0}}) {
      assertThrows(IllegalArgumentException.class, () -> Pass.branching(starts, trunks));
    }
  }
}
