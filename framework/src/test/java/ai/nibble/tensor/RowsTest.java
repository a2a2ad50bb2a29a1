package ai.nibble.tensor;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class RowsTest {
  private long liveBefore;

  @BeforeEach
  void count() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private static Tensor matrix(DType dtype) {
    try (Tensor values = Tensor.of(new float[] {1, 2, 3, 4, 5, 6}, 3, 2)) {
      return values.to(dtype);
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void columnsOfRowsAreReadAndWritten(DType dtype) {
    try (Tensor t = matrix(dtype)) {
      float[] row = new float[2];
      try (Rows rows = Rows.reading(t, 1, 3, 1, 1)) {
        rows.load(2, row);
      }
      assertArrayEquals(new float[] {6, 0}, row);
      try (Rows rows = Rows.writing(t, 1, 3, 0, 1)) {
        rows.store(1, new float[] {7});
        rows.store(2, new float[] {8});
      }
      assertArrayEquals(new float[] {1, 2, 7, 4, 8, 6}, t.toFloats());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void anExceptionInTheLoopFreesTheWindowAndKeepsUndefinedRowsOut(DType dtype) {
    try (Tensor t = matrix(dtype)) {
      IllegalStateException thrown = new IllegalStateException("row 1");
      Throwable caught =
          assertThrows(
              IllegalStateException.class,
              () -> {
                try (Rows rows = Rows.writing(t, 0, 3)) {
                  rows.store(0, new float[] {1, 2});
                  throw thrown;
                }
              });
      assertSame(thrown, caught);
      assertEquals("rows: 2 for writing were not written", caught.getSuppressed()[0].getMessage());
      assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6}, t.toFloats());
    }
  }

  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16"})
  void rowsForUpdatingMayStayAsTheyAre(DType dtype) {
    try (Tensor t = matrix(dtype)) {
      try (Rows rows = Rows.updating(t, 0, 3)) {
        rows.store(1, new float[] {7, 8});
      }
      assertArrayEquals(new float[] {1, 2, 7, 8, 5, 6}, t.toFloats());
    }
  }

  @Test
  void aWindowThatCannotBeOpenedLeavesNothingOpen() {
    // one row seen 2⁴⁶ times: its float32 copy would be larger than any address space
    try (Tensor row = Tensor.zeros(DType.BFLOAT16, 1, 4);
        Tensor many = row.asStrided(new long[] {1L << 46, 4}, new long[] {0, 1}, 0)) {
      assertThrows(TensorException.class, () -> Rows.reading(many, 0, 1L << 46));
    }
    try (Tensor row = Tensor.zeros(DType.FLOAT32, 1, 4);
        Tensor many = row.asStrided(new long[] {1L << 28, 4}, new long[] {0, 1}, 0)) {
      TensorException e =
          assertThrows(TensorException.class, () -> Rows.reading(many, 0, 1L << 28));
      assertEquals("floats: needs less than 2 GiB, got float32[268435456, 4]", e.getMessage());
    }
  }

  /** A window of three rows is converted by libtorch, windows of one are converted here. */
  @Test
  void aLargeWindowOfBfloat16IsReadAndWrittenAsSmallOnesAre() {
    int width = 4096;
    float[] values = new float[3 * width];
    Random random = new Random(5);
    for (int i = 0; i < values.length; i++) {
      values[i] = Float.intBitsToFloat(random.nextInt());
    }
    try (Tensor large = Tensor.zeros(DType.BFLOAT16, 3, width);
        Tensor small = Tensor.zeros(DType.BFLOAT16, 3, width)) {
      assertFalse(FewRows.takes(large, 3));
      assertTrue(FewRows.takes(small, 1));
      try (Rows rows = Rows.writing(large, 0, 3)) {
        for (int r = 0; r < 3; r++) {
          rows.store(r, Arrays.copyOfRange(values, r * width, (r + 1) * width));
        }
      }
      float[] row = new float[width];
      for (int r = 0; r < 3; r++) {
        try (Rows rows = Rows.writing(small, r, r + 1)) {
          rows.store(r, Arrays.copyOfRange(values, r * width, (r + 1) * width));
        }
      }
      assertArrayEquals(large.toFloats(), small.toFloats());
      float[] own = new float[width];
      try (Rows all = Rows.reading(large, 0, 3)) {
        for (int r = 0; r < 3; r++) {
          all.load(r, row);
          try (Rows one = Rows.reading(large, r, r + 1)) {
            one.load(r, own);
          }
          assertArrayEquals(row, own);
        }
      }
      IllegalStateException thrown = new IllegalStateException("row 1");
      Throwable caught =
          assertThrows(
              IllegalStateException.class,
              () -> {
                try (Rows rows = Rows.writing(large, 0, 3)) {
                  rows.store(0, new float[width]);
                  throw thrown;
                }
              });
      assertEquals("rows: 2 for writing were not written", caught.getSuppressed()[0].getMessage());
      assertArrayEquals(small.toFloats(), large.toFloats());
    }
  }
}
