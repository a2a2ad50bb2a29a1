package ai.nibble.export.gguf;

import ai.nibble.gguf.GgufWriter.RowSource;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.GgufLayout;
import ai.nibble.model.WeightSource;
import java.util.Optional;

/**
 * The weights of a base with an adapter merged into them, row by row as they are asked for: {@code
 * W + scaling · B A}, added in float32.
 */
final class MergedWeights {
  private static final String WEIGHT = ".weight";

  private final WeightSource base;
  private final Optional<StoredAdapter> adapter;

  MergedWeights(WeightSource base, Optional<StoredAdapter> adapter) {
    this.base = base;
    this.adapter = adapter;
  }

  /**
   * The rows of a tensor in the order of a GGUF file; a vector is one row.
   *
   * @param name Hugging Face's
   */
  RowSource ggufRows(String name) {
    RowSource rows = rows(name);
    if (!GgufLayout.isPermuted(name)) {
      return rows;
    }
    int headDim = base.config().headDim();
    if (base.shape(name).length > 1) {
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

  private RowSource rows(String name) {
    RowSource stored = (row, into) -> base.read(name, row * into.length, into, 0, into.length);
    return isAdapted(name) ? adapted(stored, adapter.orElseThrow(), path(name)) : stored;
  }

  /** Whether a tensor, under Hugging Face's name, is changed by the adapter. */
  boolean isAdapted(String name) {
    return name.endsWith(WEIGHT)
        && adapter.filter(a -> a.modules().contains(path(name))).isPresent();
  }

  private static String path(String name) {
    return name.substring(0, name.length() - WEIGHT.length());
  }

  private static RowSource adapted(RowSource stored, StoredAdapter adapter, String path) {
    float[] a = adapter.loraA(path);
    float[] b = adapter.loraB(path);
    int r = adapter.config().rankOf(path);
    float scaling = (float) adapter.config().scaling(path);
    return (row, into) -> {
      stored.read(row, into);
      float[] update = new float[into.length];
      for (int k = 0; k < r; k++) {
        float factor = b[Math.toIntExact(row) * r + k];
        int from = k * into.length;
        for (int c = 0; c < update.length; c++) {
          update[c] += factor * a[from + c];
        }
      }
      for (int c = 0; c < into.length; c++) {
        into[c] += scaling * update[c];
      }
    };
  }
}
