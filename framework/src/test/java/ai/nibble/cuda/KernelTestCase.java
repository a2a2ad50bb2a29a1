package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Float16;
import ai.nibble.tensor.KernelForm;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.Random;
import java.util.function.Supplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.Parameter;
import org.junit.jupiter.params.ParameterizedClass;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What tests of kernels share: the kernels run on CPU tensors, compiled for the host and again
 * composed of libtorch's operations, and every tensor closes with its test.
 */
@ParameterizedClass
@EnumSource
public abstract class KernelTestCase {
  /** One, odd, just below and beyond a warp, multiples of a vector and not, a model's. */
  protected static final int[] WIDTHS = {1, 3, 17, 63, 64, 576, 1000};

  @Parameter protected KernelForm form;
  protected final Scope scope = new Scope();
  private KernelLaunchers.Installation host;
  private long liveBefore;

  @BeforeEach
  void install() {
    liveBefore = Tensor.live();
    host = form.install();
  }

  @AfterEach
  void everyTensorIsClosed() {
    scope.close();
    if (host != null) {
      host.close();
      assertEquals(liveBefore, Tensor.live());
    }
  }

  /** Runs something as where there are no kernels: layers then compute in Java. */
  protected <V> V inJava(Supplier<V> body) {
    host.close();
    try {
      return body.get();
    } finally {
      host = form.install();
    }
  }

  /** A tensor with these values, each rounded to the dtype. */
  protected Tensor tensor(DType dtype, float[] values, long... shape) {
    try (Tensor wide = Tensor.of(values, shape)) {
      return scope.own(wide.to(dtype));
    }
  }

  /** The same, its first element not on 16 bytes: kernels must not use vectors. */
  protected Tensor misplaced(DType dtype, float[] values, long... shape) {
    Tensor room = scope.own(Tensor.empty(dtype, values.length + 1L));
    Tensor flat = scope.own(room.narrow(0, 1, values.length));
    flat.copyFrom(tensor(dtype, values, values.length));
    return scope.own(flat.view(shape));
  }

  /** A tensor full of NaN, which must all be written over. */
  protected Tensor unwritten(DType dtype, long... shape) {
    long n = 1;
    for (long size : shape) {
      n *= size;
    }
    float[] values = new float[Math.toIntExact(n)];
    Arrays.fill(values, Float.NaN);
    return tensor(dtype, values, shape);
  }

  /** A matrix full of NaN with so much room behind its rows, which must all be written over. */
  protected Tensor unwrittenRows(DType dtype, int rows, int width, int room) {
    Tensor all = unwritten(dtype, rows, width + room);
    return scope.own(all.narrow(1, 0, width));
  }

  /** The same values in rows with so much room behind them. */
  protected Tensor apart(Tensor rows, int room) {
    Tensor result = unwrittenRows(rows.dtype(), (int) rows.size(0), (int) rows.size(1), room);
    return result.copyFrom(rows);
  }

  /** Rows that lie apart hold these values, and the room behind them zeros. */
  protected void assertRows(float[] expected, Tensor rows, int room, String message) {
    int width = (int) rows.size(1);
    assertSame(expected, rows, message);
    Tensor all = scope.own(rows.withRoom());
    Tensor behind = scope.own(all.narrow(1, width, room));
    assertSame(new float[(int) rows.size(0) * room], behind, message + ", the room");
  }

  /** An int32 vector. */
  protected Tensor ints(int... values) {
    Tensor t = scope.own(Tensor.empty(DType.INT32, values.length));
    if (values.length > 0) {
      t.bytes(0, 4 * values.length).asIntBuffer().put(values);
    }
    return t;
  }

  /** A float64 scalar, {@code [1]}. */
  protected Tensor scalar(double value) {
    Tensor t = scope.own(Tensor.empty(DType.FLOAT64, 1));
    t.bytes(0, Double.BYTES).putDouble(0, value);
    return t;
  }

  /** Value of a float64 {@code [1]}. */
  protected static double value(Tensor scalar) {
    return scalar.bytes(0, Double.BYTES).getDouble(0);
  }

  /** All values as float32. */
  protected static float[] floats(Tensor t) {
    try (Tensor wide = t.to(DType.FLOAT32)) {
      return wide.numel() == 0 ? new float[0] : wide.toFloats();
    }
  }

  /** Standard normal values, rounded to the dtype. */
  protected static float[] gaussian(DType dtype, long seed, int n) {
    Random random = new Random(seed);
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = round(dtype, (float) random.nextGaussian());
    }
    return values;
  }

  /** Whole numbers from −4 to 4: sums of their products are exact in any order. */
  protected static float[] whole(long seed, int n) {
    Random random = new Random(seed);
    float[] values = new float[n];
    for (int i = 0; i < n; i++) {
      values[i] = random.nextInt(9) - 4;
    }
    return values;
  }

  /** A value rounded to the dtype. */
  protected static float round(DType dtype, float value) {
    return switch (dtype) {
      case BFLOAT16 -> Bfloat16.round(value);
      case FLOAT16 -> Float16.toFloat(Float16.of(value));
      default -> value;
    };
  }

  /** The largest relative error of one rounding. */
  protected static double unit(DType dtype) {
    return switch (dtype) {
      case BFLOAT16 -> 0x1p-8;
      case FLOAT16 -> 0x1p-11;
      default -> 0x1p-24;
    };
  }

  /** Equal bits, but for the payload of NaNs. */
  protected static void assertSame(float[] expected, Tensor actual, String message) {
    float[] got = floats(actual);
    assertEquals(expected.length, got.length, message);
    for (int i = 0; i < got.length; i++) {
      if (Float.floatToIntBits(expected[i]) != Float.floatToIntBits(got[i])) {
        assertEquals(expected[i], got[i], message + ", element " + i);
      }
    }
  }

  /** Within a bound that is given for each element. */
  protected static void assertWithin(
      double[] expected, double[] bounds, Tensor actual, String message) {
    float[] got = floats(actual);
    assertEquals(expected.length, got.length, message);
    for (int i = 0; i < got.length; i++) {
      double error = Math.abs(got[i] - expected[i]);
      assertTrue(
          error <= bounds[i],
          message + ", element " + i + ": " + got[i] + " for " + expected[i] + " ± " + bounds[i]);
    }
  }
}
