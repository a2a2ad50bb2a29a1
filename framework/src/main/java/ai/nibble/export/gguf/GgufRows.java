package ai.nibble.export.gguf;

import ai.nibble.gguf.GgufWriter.RowSource;
import ai.nibble.model.GgufLayout;
import ai.nibble.model.WeightSource;

/**
 * A model's weights in the order of a GGUF file's rows: of some architectures llama.cpp rotates
 * neighbours, Hugging Face the two halves of a head, so the rows of q and k change places; norms
 * that are distances from 1 are written with it.
 */
record GgufRows(WeightSource weights) {

  /**
   * The rows of a tensor; a vector is one row.
   *
   * @param name Hugging Face's
   */
  RowSource of(String name) {
    float shift = GgufLayout.shift(weights.config(), name);
    RowSource rows =
        (row, into) -> {
          weights.read(name, row * into.length, into, 0, into.length);
          for (int i = 0; i < into.length && shift != 0; i++) {
            into[i] += shift;
          }
        };
    if (!GgufLayout.isPermuted(weights.config(), name)) {
      return rows;
    }
    int headDim = weights.config().headDim();
    if (weights.shape(name).length > 1) {
      return (row, into) -> rows.read(GgufLayout.huggingFaceRow(row, headDim), into);
    }
    return (row, into) -> {
      float[] bias = new float[into.length];
      rows.read(0, bias);
      for (int i = 0; i < into.length; i++) {
        into[i] = bias[(int) GgufLayout.huggingFaceRow(i, headDim)];
      }
    };
  }
}
