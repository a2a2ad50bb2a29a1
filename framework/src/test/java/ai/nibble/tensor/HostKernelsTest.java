package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.cuda.Programs;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * The host shim runs CUDA C as a GPU does, reports what a GPU would not, and types.cuh is right.
 */
class HostKernelsTest {
  private static final CudaProgram PROGRAM = CudaProgram.of(Programs.class, "types.cuh", "shim.cu");

  private KernelLaunchers.Installation host;
  private final Scope scope = new Scope();

  @BeforeEach
  void install() {
    host = HostKernels.install();
  }

  @AfterEach
  void remove() {
    scope.close();
    if (host != null) {
      host.close();
    }
  }

  private static void launch(String kernel, Grid grid, Object... arguments) {
    PROGRAM.launch(kernel, Device.CPU, grid, arguments);
  }

  private Tensor tensor(DType dtype, long... shape) {
    return scope.own(Tensor.empty(dtype, shape));
  }

  private static Tensor corners(int n) {
    float[] values = new float[n];
    Random random = new Random(7);
    for (int i = 0; i < n; i++) {
      values[i] = Float.intBitsToFloat(random.nextInt());
      if (i < 1 << 16) {
        // every float16, and half way to its neighbour
        values[i] = Float16.toFloat((short) i);
      } else if (i < 3 << 16) {
        float value = Float16.toFloat((short) i);
        float next = Float16.toFloat((short) (i + 1));
        values[i] = i < 2 << 16 ? (value + next) / 2 : Math.nextUp((value + next) / 2);
      }
    }
    return Tensor.of(values, n);
  }

  @Test
  void conversionsGiveTheBitsOfTheHost() {
    int n = 1 << 20;
    Tensor in = scope.own(corners(n));
    Tensor back = tensor(DType.FLOAT32, n);
    for (DType dtype : new DType[] {DType.FLOAT16, DType.BFLOAT16}) {
      Tensor out = tensor(dtype, n);
      String suffix = dtype == DType.FLOAT16 ? "f16" : "bf16";
      launch("round_trip_" + suffix, Grid.covering(n, 256, 256), out, back, in, (long) n);
      ByteBuffer bits = out.bytes(0, 2 * n);
      for (int i = 0; i < n; i++) {
        float value = in.floats().get(i);
        short expected = dtype == DType.FLOAT16 ? Float16.of(value) : Bfloat16.of(value);
        assertEquals(expected, bits.getShort(2 * i), dtype + " of " + value);
        float widened =
            dtype == DType.FLOAT16 ? Float16.toFloat(expected) : Bfloat16.toFloat(expected);
        assertEquals(
            Float.floatToRawIntBits(widened), Float.floatToRawIntBits(back.floats().get(i)));
      }
    }
  }

  @Test
  void vectorsKeepTheOrderOfTheirElements() {
    int n = 4096;
    for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT16, DType.BFLOAT16}) {
      Tensor in = scope.own(scope.own(corners(n)).to(dtype));
      Tensor out = tensor(dtype, n);
      String suffix = dtype == DType.FLOAT32 ? "f32" : dtype == DType.FLOAT16 ? "f16" : "bf16";
      int vector = 16 / dtype.bytes();
      launch("vectors_" + suffix, Grid.covering(n, 64L * vector, 64), out, in, (long) n);
      assertArrayEquals(in.toFloats(), out.toFloats());
    }
  }

  @Test
  void blocksReduceInAFixedOrder() {
    int rows = 5;
    int columns = 999;
    Random random = new Random(3);
    float[] values = new float[rows * columns];
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) random.nextGaussian();
    }
    Tensor in = scope.own(Tensor.of(values, rows, columns));
    Tensor out = tensor(DType.FLOAT32, rows, 2);
    launch("row_sums", Grid.of(rows, 256), out, in, (long) columns);
    for (int r = 0; r < rows; r++) {
      float[] lanes = new float[256];
      float most = Float.NEGATIVE_INFINITY;
      for (int c = 0; c < columns; c++) {
        lanes[c % 256] += values[r * columns + c];
        most = Math.max(most, values[r * columns + c]);
      }
      float[] warps = new float[32];
      for (int w = 0; w < 8; w++) {
        warps[w] = butterfly(Arrays.copyOfRange(lanes, 32 * w, 32 * w + 32));
      }
      assertEquals(butterfly(warps), out.floats().get(2 * r), "row " + r);
      assertEquals(most, out.floats().get(2 * r + 1), "row " + r);
    }
  }

  private static float butterfly(float[] x) {
    for (int lanes = 16; lanes > 0; lanes >>= 1) {
      float[] y = x.clone();
      for (int i = 0; i < 32; i++) {
        x[i] = y[i] + y[i ^ lanes];
      }
    }
    return x[0];
  }

  @Test
  void resultsThatHangOnTheOrderOfThreadsDifferBetweenBlocks() {
    Tensor out = tensor(DType.INT32, 2, 64);
    Grid grid = Grid.of(2, 64).withSharedBytes(64 * Integer.BYTES);
    launch("rotate", grid, out, 1);
    float[] values = out.toFloats();
    for (int i = 0; i < 128; i++) {
      assertEquals((i + 1) % 64, values[i]);
    }
    launch("rotate", grid, out, 0);
    boolean right = true;
    for (int i = 0; i < 128; i++) {
      right &= out.toFloats()[i] == (i + 1) % 64;
    }
    assertTrue(!right, "a missing barrier went unseen");
  }

  private void assertFails(String part, String kernel, Grid grid, Object... arguments) {
    TensorException e =
        assertThrows(TensorException.class, () -> launch(kernel, grid, arguments), kernel);
    assertTrue(e.getMessage().contains(part), e.getMessage());
  }

  @Test
  void mistakesAreReportedWithTheirPlace() {
    Tensor ints = tensor(DType.INT32, 64);
    Tensor floats = tensor(DType.FLOAT32, 40);
    Grid block = Grid.of(1, 64);
    assertFails("thread 40: has ended and misses the barrier", "missed_barrier", block, ints);
    assertFails("thread 32: is at the barrier in line", "other_barrier", block, ints);
    assertFails("some of which never come", "missed_shuffle", block, ints);
    assertFails(
        "thread 40: writes 4 bytes, 4 bytes beyond the end of a tensor of 160 bytes",
        "beyond",
        block,
        floats,
        floats,
        1);
    assertFails("thread 40: reads 4 bytes", "beyond", block, floats, floats, 0);
    assertFails(
        "thread 63: writes 4 bytes, 4 bytes beyond the end of shared memory of 256 bytes",
        "beyond_shared",
        block.withSharedBytes(256),
        ints);
    assertFails("thread 31: index 32 outside the array", "beyond_array", Grid.of(1, 32), ints);
    assertFails("is null or not aligned", "misaligned", block, floats, floats);
    assertFails("no kernel nowhere", "nowhere", block, floats);
    assertFails("takes 3 arguments, got 1", "beyond", block, floats);
    assertFails("argument 2 has 4 bytes, got 8", "beyond", block, floats, floats, 1L);
    // and after all that it still works
    launch("rotate", Grid.of(1, 64).withSharedBytes(256), ints, 1);
    assertEquals(1, ints.toFloats()[0]);
  }

  @Test
  void aMillionElementsTakeFarLessThanASecond() {
    int n = 1 << 20;
    Tensor in = scope.own(Tensor.zeros(DType.FLOAT32, n));
    Tensor out = tensor(DType.FLOAT32, n, 2);
    launch("row_sums", Grid.of(1, 256), out, in, 1L); // compiles
    long before = System.nanoTime();
    launch("row_sums", Grid.of(n / 1024, 256), out, in, 1024L);
    long millis = (System.nanoTime() - before) / 1_000_000;
    System.out.println("host kernels: 1024 rows of 1024 summed in " + millis + " ms");
    assertTrue(millis < 2000, millis + " ms");
  }
}
