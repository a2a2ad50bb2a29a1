package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * The embedding as a module: a frozen table {@code [vocabulary, hidden]} that may carry a low-rank
 * update. A token's row is then {@code table[id] + scaling · B·A[:, id]}, with A {@code [r,
 * vocabulary]} and B {@code [hidden, r]} as PEFT has them: an embedding is a linear layer over
 * one-hot vectors. There is no dropout, as nothing is dropped of one token.
 */
public final class TokenEmbedding implements Adaptable {
  private final String path;
  private final DenseWeight table;
  private final int padding;
  private LowRank adapter;

  /**
   * @param table {@code [vocabulary, hidden]}, which stays the caller's
   * @param padding the token that fills batches, whose row learns nothing from being looked up, as
   *     torch's {@code padding_idx}; negative for none
   */
  public TokenEmbedding(String path, DenseWeight table, int padding) {
    this.path = path;
    this.table = table;
    this.padding = padding;
  }

  /** Whether a token's row learns from being looked up. */
  boolean learns(int token) {
    return token != padding;
  }

  @Override
  public String path() {
    return path;
  }

  @Override
  public DenseWeight weight() {
    return table;
  }

  @Override
  public long inFeatures() {
    return table.outFeatures();
  }

  @Override
  public long outFeatures() {
    return table.inFeatures();
  }

  @Override
  public Optional<LowRank> adapter() {
    return Optional.ofNullable(adapter);
  }

  @Override
  public void attach(LowRank update) {
    if (update != null) {
      requireFits(update);
      if (update.magnitude().isPresent() || update.fixed().isPresent()) {
        throw new IllegalArgumentException(path + ": an embedding takes plain adapters only");
      }
    }
    adapter = update;
  }

  /**
   * One token's row, rounded as {@link Embedding} rounds it.
   *
   * @param row takes it, {@code [hidden]}
   */
  void load(int id, DType dtype, float[] row) {
    try (Rows rows = Rows.reading(table.tensor(), id, id + 1)) {
      rows.load(id, row);
    }
    dtype.round(row, 0, row.length);
    if (adapter == null) {
      return;
    }
    try (Tensor column = gathered(adapter, new int[] {id}, adapter.scaling(), dtype);
        Tensor up = adapter.b().value().to(dtype)) {
      float[] h = column.toFloats();
      float[] b = up.toFloats();
      for (int c = 0; c < row.length; c++) {
        float sum = 0;
        for (int k = 0; k < h.length; k++) {
          sum += h[k] * b[c * h.length + k];
        }
        row[c] += sum;
      }
    }
    dtype.round(row, 0, row.length);
  }

  /**
   * {@code factor · A[:, ids]ᵀ}, {@code [N, r]}; the caller closes it.
   *
   * @param dtype of the result
   */
  static Tensor gathered(LowRank update, int[] ids, double factor, DType dtype) {
    Tensor a = update.a().value();
    Device device = a.device();
    try (Tensor index = Tensor.ofIndices(device, ids);
        Tensor columns = Tensor.empty(device, DType.FLOAT32, a.size(0), ids.length);
        Tensor scale = Tensor.of(device, new float[] {(float) factor}, 1)) {
      Ops.indexSelect(columns, a, 1, index);
      Ops.mul(columns, columns, scale);
      try (Tensor transposed = columns.t()) {
        return Tensor.empty(device, dtype, ids.length, a.size(0)).copyFrom(transposed);
      }
    }
  }
}
