package ai.nibble.quant;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.cuda.GroupedKernels;
import ai.nibble.cuda.KernelTestCase;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.TensorException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

/**
 * The kernels of grouped codes give the bits of the host's code; they run compiled for the host.
 */
class GroupedKernelsTest extends KernelTestCase {
  private static final List<DType> DTYPES = List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16);

  /**
   * Random codes, scales of several magnitudes.
   *
   * @param size of a group
   * @param ordered whether groups are consecutive columns
   * @param sameZeros whether all zeros are one, as symmetric ones are
   */
  private record Form(int out, int in, int size, boolean ordered, boolean sameZeros) {
    ColumnGroups groups(int codes) {
      Random random = new Random(out + in + size);
      List<Integer> groupOf =
          new ArrayList<>(IntStream.range(0, in).map(c -> c / size).boxed().toList());
      if (!ordered) {
        Collections.shuffle(groupOf, random);
      }
      float[] scales = new float[in / size * out];
      byte[] zeros = new byte[scales.length];
      for (int i = 0; i < scales.length; i++) {
        scales[i] = (float) (random.nextGaussian() * Math.pow(2, random.nextInt(12) - 8));
        zeros[i] = (byte) (sameZeros ? codes / 2 : random.nextInt(codes));
      }
      return new ColumnGroups(
          size, groupOf.stream().mapToInt(Integer::intValue).toArray(), scales, zeros);
    }

    CodeSource codes(int codes) {
      return (first, rows, tile) -> {
        Random random = new Random(first);
        for (int i = 0; i < rows * in; i++) {
          tile[i] = (byte) random.nextInt(codes);
        }
      };
    }
  }

  private static final List<Form> FORMS =
      List.of(
          new Form(1, 32, 32, true, true),
          new Form(3, 64, 32, true, false),
          new Form(5, 192, 96, true, false),
          new Form(70, 256, 256, true, false),
          new Form(4, 8192, 8192, true, true),
          new Form(7, 128, 32, false, true),
          new Form(9, 4160, 32, false, false));

  /** Writes values into a destination. */
  private interface Writer {
    void write(Tensor destination);
  }

  /** All of a matrix, and in the left columns of wider rows, whose others stay. */
  private void assertSame(Form form, GroupedMatrix matrix, Writer kernels) {
    for (DType dtype : DTYPES) {
      try (Tensor expected = Tensor.empty(dtype, form.out, form.in);
          Tensor actual = Tensor.empty(dtype, form.out, form.in)) {
        matrix.dequantize(expected, 0, dtype);
        kernels.write(actual);
        assertArrayEquals(Bits.of(expected), Bits.of(actual), matrix + " " + dtype);
      }
      for (int more : new int[] {1, 64}) {
        try (Tensor wide = Tensor.zeros(dtype, form.out + 2L, form.in + more);
            Tensor here = Tensor.zeros(dtype, form.out + 2L, form.in + more);
            Tensor rows = here.narrow(0, 2, form.out);
            Tensor left = rows.narrow(1, 0, form.in)) {
          matrix.dequantize(wide, 2, dtype);
          kernels.write(left);
          assertArrayEquals(Bits.of(wide), Bits.of(here), matrix + " in wider rows " + dtype);
        }
      }
    }
  }

  @Test
  void codesOf4BitsGiveTheHostsBits() {
    int ordered = 0;
    for (Form form : FORMS) {
      for (int codes : new int[] {4, 8, 16}) {
        try (Grouped4Bit matrix =
            Grouped4Bit.of("w", form.out, form.groups(codes), form.codes(codes))) {
          ordered += matrix.isOrdered() ? 1 : 0;
          Tensor places = matrix.isOrdered() ? scope.own(matrix.places(Device.CPU)) : null;
          assertSame(form, matrix, to -> GroupedKernels.dequantize(to, matrix.forKernels(places)));
        }
      }
    }
    assertTrue(ordered > 0);
  }

  @Test
  void codesOf8BitsGiveTheHostsBits() {
    for (Form form : FORMS) {
      try (Grouped8Bit matrix = Grouped8Bit.of("w", form.out, form.groups(256), form.codes(256))) {
        Tensor groupOf = scope.own(Tensor.ofInts(Device.CPU, matrix.groupOf()));
        assertSame(form, matrix, to -> GroupedKernels.dequantize(to, matrix.forKernels(groupOf)));
      }
    }
  }

  @Test
  void aCopyElsewhereHoldsTheSame() {
    Device other = new Device(Device.Type.CPU, 1);
    Form form = FORMS.get(5);
    for (GroupedMatrix matrix :
        List.of(
            Grouped4Bit.of("w", form.out, form.groups(16), form.codes(16)),
            Grouped8Bit.of("w", form.out, form.groups(256), form.codes(256)))) {
      try (matrix;
          GroupedMatrix copy = matrix.to(other)) {
        assertEquals(other, copy.device());
        assertEquals(matrix.toString(), copy.toString());
        float[] expected = new float[form.out * form.in];
        float[] seen = new float[expected.length];
        matrix.read(0, expected, 0, expected.length);
        copy.read(0, seen, 0, seen.length);
        assertArrayEquals(expected, seen);
      }
    }
  }

  @Test
  void partsThatDoNotFitAreNamed() {
    Form form = FORMS.get(1);
    try (Grouped4Bit matrix = Grouped4Bit.of("w", form.out, form.groups(16), form.codes(16));
        Tensor narrow = Tensor.empty(DType.FLOAT32, form.out, 32);
        Tensor odd = Tensor.empty(DType.FLOAT32, form.out, 40)) {
      for (Tensor to : List.of(narrow, odd)) {
        String message =
            assertThrows(
                    TensorException.class,
                    () -> GroupedKernels.dequantize(to, matrix.forKernels(null)))
                .getMessage();
        assertTrue(message.startsWith("grouped: "), message);
      }
    }
  }
}
