package ai.nibble.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Rotation of heads against {@code nn/RotaryTable}'s formula, bit for bit. */
class RotaryKernelsTest extends KernelTestCase {
  private static final int POSITIONS = 40;

  /** One shape of attention and some tokens. */
  private record Heads(int heads, int keyValueHeads, int half, int tokens, int headDim) {
    Heads(int heads, int keyValueHeads, int half, int tokens) {
      this(heads, keyValueHeads, half, tokens, 2 * half);
    }

    int width() {
      return (heads + 2 * keyValueHeads) * headDim;
    }

    int[] positions() {
      return new Random(tokens).ints(tokens, 0, POSITIONS).toArray();
    }

    float[] table(boolean cos) {
      float[] table = new float[POSITIONS * half];
      for (int i = 0; i < table.length; i++) {
        double angle = i / half * Math.pow(10000, -(double) (i % half) / half);
        table[i] = (float) (cos ? Math.cos(angle) : Math.sin(angle));
      }
      return table;
    }

    float[] rotated(DType dtype, float[] qkv, float direction) {
      float[] out = qkv.clone();
      float[] cos = table(true);
      float[] sin = table(false);
      for (int t = 0; t < tokens; t++) {
        for (int h = 0; h < heads + keyValueHeads; h++) {
          for (int i = 0; i < half; i++) {
            int at = t * width() + h * headDim + i;
            int angle = positions()[t] * half + i;
            float a = qkv[at];
            float b = qkv[at + half];
            float s = sin[angle] * direction;
            out[at] = round(dtype, a * cos[angle] - b * s);
            out[at + half] = round(dtype, b * cos[angle] + a * s);
          }
        }
      }
      return out;
    }
  }

  private static final Heads[] SHAPES = {
    new Heads(1, 1, 1, 1),
    new Heads(3, 1, 3, 5),
    new Heads(9, 3, 32, 7),
    new Heads(4, 2, 40, 3),
    new Heads(2, 2, 64, 0),
    new Heads(32, 8, 64, 2),
    // rotated in part
    new Heads(3, 1, 3, 5, 7),
    new Heads(4, 2, 24, 3, 96),
    new Heads(4, 4, 16, 3, 80),
    new Heads(2, 1, 8, 3, 20)
  };

  private Tensor cos(Heads shape) {
    return tensor(DType.FLOAT32, shape.table(true), POSITIONS, shape.half);
  }

  private Tensor sin(Heads shape) {
    return tensor(DType.FLOAT32, shape.table(false), POSITIONS, shape.half);
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void queriesAndKeysRotateAndValuesStay(DType dtype) {
    for (Heads shape : SHAPES) {
      float[] values = gaussian(dtype, 1, shape.tokens * shape.width());
      float[] expected = shape.rotated(dtype, values, 1);
      Tensor qkv = tensor(dtype, values, shape.tokens, shape.width());
      Tensor out = unwritten(dtype, shape.tokens, shape.width());
      Tensor positions = ints(shape.positions());
      Tensor cos = cos(shape);
      Tensor sin = sin(shape);
      RotaryKernels.rotate(out, qkv, positions, cos, sin, shape.heads, shape.keyValueHeads);
      assertSame(expected, out, dtype + " " + shape);
      RotaryKernels.rotate(qkv, qkv, positions, cos, sin, shape.heads, shape.keyValueHeads);
      assertSame(expected, qkv, dtype + " in place " + shape);
      Tensor moved = misplaced(dtype, values, shape.tokens, shape.width());
      RotaryKernels.rotate(moved, moved, positions, cos, sin, shape.heads, shape.keyValueHeads);
      assertSame(expected, moved, dtype + " misplaced " + shape);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void gradientsRotateBackToTheProjectionsLayout(DType dtype) {
    for (Heads shape : SHAPES) {
      int d = shape.headDim;
      float[] all = gaussian(dtype, 2, shape.tokens * shape.width());
      Tensor dqkv = unwritten(dtype, shape.tokens, shape.width());
      RotaryKernels.gradient(
          dqkv,
          part(dtype, all, shape, 0, shape.heads),
          part(dtype, all, shape, shape.heads, shape.keyValueHeads),
          part(dtype, all, shape, shape.heads + shape.keyValueHeads, shape.keyValueHeads),
          ints(shape.positions()),
          cos(shape),
          sin(shape));
      assertSame(shape.rotated(dtype, all, -1), dqkv, dtype + " " + shape + ", D " + d);
    }
  }

  /** Some heads of all tokens, {@code [N, count, D]}. */
  private Tensor part(DType dtype, float[] all, Heads shape, int first, int count) {
    int d = shape.headDim;
    float[] part = new float[shape.tokens * count * d];
    for (int t = 0; t < shape.tokens; t++) {
      System.arraycopy(all, t * shape.width() + first * d, part, t * count * d, count * d);
    }
    return tensor(dtype, part, shape.tokens, count, d);
  }

  @Test
  void widthThatHasNoNumberOfHeadsIsNamed() {
    Heads shape = new Heads(2, 1, 4, 3);
    Tensor qkv = tensor(DType.FLOAT32, new float[3 * 34], 3, 34);
    TensorException e =
        assertThrows(
            TensorException.class,
            () -> RotaryKernels.rotate(qkv, qkv, ints(0, 1, 2), cos(shape), sin(shape), 2, 1));
    assertEquals(
        "rotary: qkv is float32[3, 34], expected float32[3, 32], contiguous", e.getMessage());
  }

  @Test
  void widthThatIsNotTheHeadsIsNamed() {
    Heads shape = new Heads(2, 1, 4, 3);
    float[] values = new float[3 * 28];
    Arrays.fill(values, 1);
    Tensor qkv = tensor(DType.FLOAT32, values, 3, 28);
    TensorException e =
        assertThrows(
            TensorException.class,
            () -> RotaryKernels.rotate(qkv, qkv, ints(0, 1, 2), cos(shape), sin(shape), 2, 1));
    assertEquals("rotary: D is 7, expected 8 or more, twice the columns of 'cos'", e.getMessage());
  }
}
