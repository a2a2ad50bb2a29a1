package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class TensorTest {
  private Scope scope;
  private long liveBefore;

  @BeforeEach
  void open() {
    liveBefore = Tensor.live();
    scope = new Scope();
  }

  @AfterEach
  void everyTensorIsClosed() {
    scope.close();
    assertEquals(liveBefore, Tensor.live());
  }

  private Tensor random(long seed, DType dtype, long... shape) {
    Random random = new Random(seed);
    int n = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = (float) random.nextGaussian();
    }
    Tensor t = scope.own(Tensor.of(values, shape));
    return dtype == DType.FLOAT32 ? t : scope.own(t.to(dtype));
  }

  private static float[] product(float[] a, float[] b, int m, int k, int n) {
    float[] c = new float[m * n];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = 0;
        for (int p = 0; p < k; p++) {
          sum += (double) a[i * k + p] * b[p * n + j];
        }
        c[i * n + j] = (float) sum;
      }
    }
    return c;
  }

  private static void assertClose(float[] expected, float[] actual, double relative) {
    assertEquals(expected.length, actual.length);
    double scale = 0;
    for (float e : expected) {
      scale = Math.max(scale, Math.abs(e));
    }
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual[i], relative * scale, "element " + i);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void productsAgreeWithPlainLoops(DType dtype) {
    int m = 5;
    int k = 7;
    int n = 3;
    Tensor a = random(1, dtype, m, k);
    Tensor b = random(2, dtype, n, k);
    Tensor bt = scope.own(b.t());
    float[] expected = product(a.toFloats(), scope.own(bt.to(DType.FLOAT32)).toFloats(), m, k, n);
    double tolerance = dtype == DType.FLOAT32 ? 1e-6 : 1.0 / 256;
    Tensor out = scope.empty(dtype, m, n);
    assertClose(expected, Ops.mm(out, a, bt).toFloats(), tolerance);
    float[] tripled = expected.clone();
    for (int i = 0; i < tripled.length; i++) {
      tripled[i] *= 3;
    }
    assertClose(tripled, Ops.addmm(out, a, bt, 1, 2).toFloats(), 3 * tolerance);
    Tensor a3 = scope.own(a.view(1, m, k));
    Tensor b3 = scope.own(bt.asStrided(new long[] {1, k, n}, new long[] {0, 1, k}, 0));
    Tensor out3 = scope.empty(dtype, 1, m, n);
    assertClose(expected, Ops.bmm(out3, a3, b3).toFloats(), tolerance);
    Tensor zero = scope.own(Tensor.zeros(dtype, 1));
    assertClose(expected, Ops.baddbmm(out3, zero, a3, b3, 1, 1).toFloats(), tolerance);
  }

  /** Whatever memory holds: of products that libtorch does in a loop, too, and in float16. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void withBetaZeroNothingIsReadOfWhatIsThere(DType dtype) {
    for (int n : new int[] {1, 30}) {
      float[] nan = new float[n];
      Arrays.fill(nan, Float.NaN);
      float[] ones = new float[8 * n];
      Arrays.fill(ones, 1);
      float[] eights = new float[n];
      Arrays.fill(eights, 8);
      try (Scope scope = new Scope()) {
        Tensor out = scope.own(scope.own(Tensor.of(nan, 1, 1, n)).to(dtype));
        Tensor a = scope.own(scope.own(Tensor.of(Arrays.copyOf(ones, 8), 1, 1, 8)).to(dtype));
        Tensor b = scope.own(scope.own(Tensor.of(ones, 1, 8, n)).to(dtype));
        assertArrayEquals(eights, Ops.baddbmm(out, out, a, b, 0, 1).toFloats());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void elementwiseOperationsAgreeWithPlainLoops(DType dtype) {
    Tensor x = random(3, dtype, 4, 9);
    Tensor g = random(4, dtype, 4, 9);
    float[] xs = x.toFloats();
    float[] gs = g.toFloats();
    float[] silu = new float[xs.length];
    float[] siluGrad = new float[xs.length];
    float[] softmax = new float[xs.length];
    float[] sum = new float[xs.length];
    for (int r = 0; r < 4; r++) {
      double total = 0;
      for (int c = 0; c < 9; c++) {
        total += Math.exp(xs[r * 9 + c]);
      }
      for (int c = 0; c < 9; c++) {
        int i = r * 9 + c;
        double sigmoid = 1 / (1 + Math.exp(-xs[i]));
        silu[i] = (float) (xs[i] * sigmoid);
        siluGrad[i] = (float) (gs[i] * sigmoid * (1 + xs[i] * (1 - sigmoid)));
        softmax[i] = (float) (Math.exp(xs[i]) / total);
        sum[i] = xs[i] + 2 * gs[i];
      }
    }
    double tolerance = dtype == DType.FLOAT32 ? 1e-6 : 1.0 / 128;
    Tensor out = scope.empty(dtype, 4, 9);
    assertClose(silu, Ops.silu(out, x).toFloats(), tolerance);
    assertClose(siluGrad, Ops.siluBackward(out, g, x).toFloats(), tolerance);
    assertClose(softmax, Ops.softmax(out, x).toFloats(), tolerance);
    assertClose(sum, scope.own(Ops.add(x, g, 2)).toFloats(), tolerance);
    Tensor p = scope.own(x.to(dtype));
    Ops.softmax(p, x);
    float[] ps = p.toFloats();
    float[] expected = new float[xs.length];
    for (int r = 0; r < 4; r++) {
      double dot = 0;
      for (int c = 0; c < 9; c++) {
        dot += ps[r * 9 + c] * gs[r * 9 + c];
      }
      for (int c = 0; c < 9; c++) {
        expected[r * 9 + c] = (float) (ps[r * 9 + c] * (gs[r * 9 + c] - dot));
      }
    }
    assertClose(expected, Ops.softmaxBackward(out, g, p).toFloats(), tolerance);
    float[] logs = Ops.logSoftmax(out, x).toFloats();
    for (int i = 0; i < logs.length; i++) {
      assertEquals(Math.log(softmax[i]), logs[i], dtype == DType.FLOAT32 ? 1e-5 : 0.03);
    }
    float[] product = Ops.mul(out, x, g).toFloats();
    assertEquals(xs[5] * gs[5], product[5], 0.02);
    assertEquals(Math.exp(xs[7]), Ops.exp(out, x).toFloats()[7], 0.02);
  }

  @Test
  void rowsAreSelectedByIndex() {
    Tensor x = random(5, DType.BFLOAT16, 6, 2);
    Tensor index = scope.own(Tensor.ofIndices(new int[] {4, 0, 4}));
    float[] all = x.toFloats();
    float[] rows = Ops.indexSelect(scope.empty(DType.BFLOAT16, 3, 2), x, index).toFloats();
    assertArrayEquals(new float[] {all[8], all[9], all[0], all[1], all[8], all[9]}, rows);
  }

  @Test
  void viewsShareMemoryThatOutlivesTheFirstHandle() {
    Tensor whole = Tensor.of(new float[] {0, 1, 2, 3, 4, 5}, 2, 3);
    Tensor second = scope.own(whole.narrow(0, 1, 1));
    Tensor flipped = scope.own(whole.t());
    whole.floats().put(4, 40);
    whole.close();
    assertArrayEquals(new float[] {3, 40, 5}, second.toFloats());
    assertArrayEquals(new float[] {0, 3, 1, 40, 2, 5}, flipped.toFloats());
    assertThrows(TensorException.class, whole::share);
    whole.close();
  }

  @Test
  void bfloat16IsRoundedToNearestEven() {
    Tensor t = scope.own(Tensor.of(new float[] {1 + 1 / 256f, 1 + 3 / 256f, 1e-40f}, 3));
    Tensor b = scope.own(t.to(DType.BFLOAT16));
    assertArrayEquals(new float[] {1f, 1 + 4 / 256f, 1e-40f}, b.toFloats(), 1e-41f);
  }

  @Test
  void errorsNameTheOperationAndTheShapes() {
    Tensor a = random(1, DType.FLOAT32, 2, 3);
    TensorException e =
        assertThrows(TensorException.class, () -> Ops.mm(scope.empty(DType.FLOAT32, 2, 2), a, a));
    assertEquals("mm: float32[2, 3] · float32[2, 3] into float32[2, 2]", e.getMessage());
    e = assertThrows(TensorException.class, () -> a.view(4, 2));
    assertEquals("view: float32[2, 3] as [4, 2]", e.getMessage());
    e =
        assertThrows(
            TensorException.class,
            () -> Ops.mul(scope.empty(DType.FLOAT32, 2, 3), a, random(1, DType.FLOAT32, 2, 2)));
    assertTrue(e.getMessage().startsWith("aten::mul.out failed on [float32[2, 3]"));
  }

  @Test
  void scalarsAndEmptyTensorsHaveShapes() {
    assertEquals(1, scope.empty(DType.FLOAT32).numel());
    assertEquals(0, scope.empty(DType.FLOAT32, 0, 5).toFloats().length);
  }

  @Test
  void ndArraysShareMemoryBothWays() {
    Tensor t = scope.own(Tensor.of(new float[] {1, 2, 3}, 3));
    try (NDManager manager = NdArrays.newManager()) {
      NDArray array = NdArrays.toNdArray(t, manager);
      array.muli(2);
      assertArrayEquals(new float[] {2, 4, 6}, t.toFloats());
      Tensor back = scope.own(NdArrays.toTensor(array.add(1)));
      assertArrayEquals(new float[] {3, 5, 7}, back.toFloats());
    }
  }

  @Test
  void theEngineDifferentiatesBfloat16Expressions() {
    Tensor x = scope.own(scope.own(Tensor.of(new float[] {1, 2, 3}, 3)).to(DType.BFLOAT16));
    try (NDManager manager = NdArrays.newManager()) {
      NDArray leaf = NdArrays.toLeaf(x, manager);
      NDArray y = NdArrays.recording(() -> leaf.mul(leaf));
      Tensor ones = scope.own(scope.own(Tensor.of(new float[] {1, 1, 1}, 3)).to(DType.BFLOAT16));
      List<Tensor> gradients = NdArrays.backward(y, ones, List.of(leaf));
      assertArrayEquals(new float[] {2, 4, 6}, scope.own(gradients.get(0)).toFloats());
    }
  }

  @Test
  void scalarsOfARecordedProductAreThereForBackwardWhateverTheGarbageCollectorDoes()
      throws InterruptedException {
    Tensor x = scope.own(Tensor.of(new float[] {1, 2, 3}, 3));
    Tensor ones = scope.own(Tensor.of(new float[] {1, 1, 1}, 3));
    try (NDManager manager = NdArrays.newManager()) {
      NDArray leaf = NdArrays.toLeaf(x, manager);
      NDArray y = NdArrays.recording(() -> leaf.mul(NdArrays.scalar(leaf, 1.5)));
      for (int i = 0; i < 5; i++) {
        System.gc();
        Thread.sleep(20);
        manager.create(new float[] {7 + i});
      }
      List<Tensor> gradients = NdArrays.backward(y, ones, List.of(leaf));
      assertArrayEquals(new float[] {1.5f, 1.5f, 1.5f}, scope.own(gradients.get(0)).toFloats());
    }
  }

  @Test
  void theVersionAndThreadCountAreKnown() {
    assertEquals("2.7.1", Torch.version());
    int threads = Torch.threads();
    Torch.setThreads(1);
    assertEquals(1, Torch.threads());
    Torch.setThreads(threads);
  }
}
