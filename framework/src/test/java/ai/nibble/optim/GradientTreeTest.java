package ai.nibble.optim;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.FloatBuffer;
import java.util.Random;
import org.junit.jupiter.api.Test;

class GradientTreeTest {
  private static final int ELEMENTS = 67;

  private static float[][] leaves(int n, long seed) {
    Random random = new Random(seed);
    float[][] leaves = new float[n][ELEMENTS];
    for (float[] leaf : leaves) {
      for (int i = 0; i < ELEMENTS; i++) {
        leaf[i] = (float) (random.nextGaussian() * Math.pow(2, random.nextInt(30)));
      }
    }
    return leaves;
  }

  /** The definition: split at the largest power of two below the count. */
  private static float[] recursive(float[][] leaves, int begin, int end) {
    if (end - begin == 1) {
      return leaves[begin];
    }
    int half = Integer.highestOneBit(end - begin - 1);
    float[] left = recursive(leaves, begin, begin + half);
    float[] right = recursive(leaves, begin + half, end);
    float[] sum = new float[ELEMENTS];
    for (int i = 0; i < ELEMENTS; i++) {
      sum[i] = left[i] + right[i];
    }
    return sum;
  }

  private static void add(GradientTree<FloatBuffer> tree, float[][] leaves, int begin, int end) {
    for (int i = begin; i < end; i++) {
      tree.add(FloatBuffer.wrap(leaves[i]));
    }
  }

  private static float[] sum(GradientTree<FloatBuffer> tree) {
    float[] sum = new float[ELEMENTS];
    tree.sum().get(0, sum);
    return sum;
  }

  @Test
  void sumsHaveTheAssociationOfTheRecursiveDefinition() {
    for (int n = 1; n <= 33; n++) {
      float[][] leaves = leaves(n, n);
      GradientTree<FloatBuffer> tree = GradientTree.ofFloats(ELEMENTS);
      add(tree, leaves, 0, n);
      assertArrayEquals(recursive(leaves, 0, n), sum(tree), n + " leaves");
    }
  }

  @Test
  void sevenLeavesAreAddedAsDocumented() {
    float[][] g = leaves(7, 99);
    GradientTree<FloatBuffer> tree = GradientTree.ofFloats(ELEMENTS);
    add(tree, g, 0, 7);
    float[] sum = sum(tree);
    boolean differsFromLeftToRight = false;
    for (int i = 0; i < ELEMENTS; i++) {
      float expected =
          ((g[0][i] + g[1][i]) + (g[2][i] + g[3][i])) + ((g[4][i] + g[5][i]) + g[6][i]);
      assertEquals(expected, sum[i]);
      float leftToRight = g[0][i];
      for (int k = 1; k < 7; k++) {
        leftToRight += g[k][i];
      }
      differsFromLeftToRight |= leftToRight != sum[i];
    }
    assertTrue(differsFromLeftToRight, "the leaves cannot tell one association from another");
  }

  @Test
  void oneTwoThreeAndFourWorkersGiveTheSameBits() {
    for (int n = 1; n <= 33; n++) {
      float[][] leaves = leaves(n, 1000 + n);
      float[] expected = recursive(leaves, 0, n);
      for (int workers = 1; workers <= Math.min(4, n); workers++) {
        GradientTree<FloatBuffer> first = null;
        for (int w = 0; w < workers; w++) {
          int begin = n * w / workers;
          GradientTree<FloatBuffer> stretch = GradientTree.ofFloats(ELEMENTS, begin);
          add(stretch, leaves, begin, n * (w + 1) / workers);
          if (first == null) {
            first = stretch;
          } else {
            first.append(stretch);
          }
        }
        assertArrayEquals(expected, sum(first), n + " leaves, " + workers + " workers");
      }
    }
  }

  @Test
  void buffersGrowWithTheLogarithmAndAreReused() {
    GradientTree<FloatBuffer> tree = GradientTree.ofFloats(ELEMENTS);
    GradientTree<FloatBuffer> other = GradientTree.ofFloats(ELEMENTS, 33);
    float[][] leaves = leaves(40, 4);
    for (int round = 0; round < 20; round++) {
      add(tree, leaves, 0, 33);
      add(other, leaves, 33, 40);
      tree.append(other);
      tree.sum();
      tree.clear();
      assertTrue(tree.buffers() <= 7, "holds " + tree.buffers()); // log2(40) + 1, rounded up
      assertTrue(other.buffers() <= 7, "holds " + other.buffers());
    }
  }

  @Test
  void aLeafIsReadAndNotKept() {
    float[] leaf = {1};
    GradientTree<FloatBuffer> tree = GradientTree.ofFloats(1);
    tree.add(FloatBuffer.wrap(leaf));
    leaf[0] = 7;
    assertEquals(1, tree.sum().get(0));
    assertEquals(1, tree.leaves());
    tree.clear();
    tree.add(FloatBuffer.wrap(leaf));
    assertNotEquals(1, tree.sum().get(0));
  }

  @Test
  void misuseIsRefused() {
    GradientTree<FloatBuffer> tree = GradientTree.ofFloats(2);
    assertThrows(IllegalStateException.class, tree::sum);
    assertThrows(IllegalArgumentException.class, () -> tree.add(FloatBuffer.allocate(3)));
    tree.add(FloatBuffer.allocate(2));
    assertThrows(IllegalArgumentException.class, () -> tree.append(GradientTree.ofFloats(2, 5)));
    assertThrows(IllegalStateException.class, GradientTree.ofFloats(2, 3)::sum);
    tree.sum();
    assertThrows(IllegalStateException.class, () -> tree.add(FloatBuffer.allocate(2)));
  }
}
