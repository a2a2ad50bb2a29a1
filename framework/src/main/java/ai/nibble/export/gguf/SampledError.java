package ai.nibble.export.gguf;

import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufTensor;
import ai.nibble.gguf.GgufWriter.RowSource;
import java.nio.file.Path;
import java.util.Map;

/** How far the weights in a written file are from those that were to be written. */
final class SampledError {
  private static final int ROWS_A_TENSOR = 16;

  private SampledError() {}

  /**
   * The root of the mean square of the error by that of the weights, over up to 16 rows spread over
   * each tensor of a block type; 0 where there are no such tensors.
   *
   * @param names Hugging Face's by those in the file
   */
  static double of(Path gguf, Map<String, String> names, GgufRows weights) {
    double errors = 0;
    double squares = 0;
    try (GgufFile file = GgufFile.open(gguf)) {
      for (GgufTensor tensor : file.tensors().values()) {
        if (tensor.type().blockElements() == 1) {
          continue;
        }
        RowSource source = weights.of(names.get(tensor.name()));
        int width = (int) tensor.rowElements();
        long rows = tensor.elements() / width;
        long step = (rows + ROWS_A_TENSOR - 1) / ROWS_A_TENSOR;
        float[] expected = new float[width];
        float[] seen = new float[width];
        for (long row = 0; row < rows; row += step) {
          source.read(row, expected);
          file.dequantize(tensor.name(), row * width, width, seen, 0);
          for (int c = 0; c < width; c++) {
            double error = (double) seen[c] - expected[c];
            errors += error * error;
            squares += (double) expected[c] * expected[c];
          }
        }
      }
    }
    return squares == 0 ? 0 : Math.sqrt(errors / squares);
  }
}
