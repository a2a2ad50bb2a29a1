package ai.nibble.quant.stored;

import ai.nibble.quant.CodeSource;
import java.nio.IntBuffer;
import java.util.List;

/**
 * A matrix of AWQ in its GEMM layout: codes and zeros of 4 bits are packed along the rows, in
 * qweight int32 {@code [in, out / 8]} and qzeros int32 {@code [groups, out / 8]}. A word holds
 * eight rows, interleaved: its nibbles, from the lowest, are rows 0, 2, 4, 6, 1, 3, 5, 7.
 */
final class AwqMatrix extends IntegerMatrix {
  private static final int BITS = 4;
  private static final int ROWS_A_WORD = 8;

  /** The row of each nibble of a word. */
  private static final int[] ROW = {0, 2, 4, 6, 1, 3, 5, 7};

  private AwqMatrix(TensorParts tensors, String qweight, QuantizationConfig.Awq config, long in) {
    super(tensors, qweight, BITS, config.groupSize(), in);
  }

  /**
   * Checks the tensors' headers.
   *
   * @throws ai.nibble.InvalidInputException if the parts do not fit together
   */
  static AwqMatrix open(TensorParts tensors, String qweight, QuantizationConfig.Awq config) {
    List<Long> shape = tensors.header(qweight).shape();
    long in = shape.isEmpty() || shape.get(0) == 0 ? 1 : shape.get(0);
    AwqMatrix matrix = new AwqMatrix(tensors, qweight, config, in);
    matrix.requireWords(QWEIGHT, in, matrix.out() / ROWS_A_WORD);
    matrix.requireWords(QZEROS, matrix.groups(), matrix.out() / ROWS_A_WORD);
    return matrix;
  }

  @Override
  public List<String> parts() {
    return List.of(module + QWEIGHT, module + QZEROS, module + SCALES);
  }

  @Override
  public String description() {
    return "AWQ, 4 bits, " + (groups() == 1 ? "one group a row" : "groups of " + groupSize());
  }

  @Override
  int[] groupOf() {
    int[] groupOf = new int[(int) in()];
    for (int c = 0; c < groupOf.length; c++) {
      groupOf[c] = c / groupSize();
    }
    return groupOf;
  }

  @Override
  byte[] zeros() {
    int[] words = tensors.ints(module + QZEROS);
    byte[] zeros = new byte[words.length * ROWS_A_WORD];
    for (int w = 0; w < words.length; w++) {
      for (int n = 0; n < ROWS_A_WORD; n++) {
        zeros[w * ROWS_A_WORD + ROW[n]] = (byte) (words[w] >>> BITS * n & 15);
      }
    }
    return zeros;
  }

  @Override
  CodeSource codes(IntBuffer words) {
    int in = (int) in();
    int wordsAColumn = (int) (out() / ROWS_A_WORD);
    return (firstRow, count, codes) -> {
      int[] some = new int[count / ROWS_A_WORD];
      for (int c = 0; c < in; c++) {
        words.get(c * wordsAColumn + (int) firstRow / ROWS_A_WORD, some);
        for (int w = 0; w < some.length; w++) {
          for (int n = 0; n < ROWS_A_WORD; n++) {
            int row = w * ROWS_A_WORD + ROW[n];
            codes[row * in + c] = (byte) (some[w] >>> BITS * n & 15);
          }
        }
      }
    };
  }
}
