package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import java.util.function.IntPredicate;

/**
 * Some rows of a frozen table that are trained by themselves, PEFT's trainable tokens. Their
 * float32 values are written into the table, rounded to its dtype, before it is read; so all that
 * reads it computes with them, and only gradients are special. The rows that lay there before come
 * back when this is taken off.
 *
 * <p>Where one table is embedding and output head, both read the rows and both add to their
 * gradient.
 */
public final class TrainedRows {
  private final int[] ids;
  private final Parameter values;
  private final Map<Integer, Integer> indices = new HashMap<>();

  /**
   * @param ids of the rows, each once
   * @param values {@code [ids, hidden]}, which stays its set's
   */
  public TrainedRows(int[] ids, Parameter values) {
    this.ids = ids.clone();
    this.values = values;
    for (int i = 0; i < ids.length; i++) {
      if (indices.put(ids[i], i) != null) {
        throw new IllegalArgumentException("a row twice: " + Arrays.toString(ids));
      }
    }
    if (values.value().size(0) != ids.length) {
      throw new IllegalArgumentException(ids.length + " rows for " + values.value());
    }
  }

  /** Numbers of the rows, in the order of their values. */
  public int[] ids() {
    return ids.clone();
  }

  public Parameter values() {
    return values;
  }

  /** Which of the rows a token's is; negative for none. */
  int indexOf(int id) {
    return indices.getOrDefault(id, -1);
  }

  /** The rows as a table holds them, float32; the caller closes them. */
  public Tensor in(Tensor table) {
    try (Tensor index = Tensor.ofIndices(table.device(), ids);
        Tensor rows = Tensor.empty(table.device(), table.dtype(), ids.length, table.size(1))) {
      Ops.indexSelect(rows, table, index);
      return rows.to(DType.FLOAT32);
    }
  }

  /** Writes values into the rows of a table. */
  void write(Tensor from, Tensor table) {
    for (int begin = 0; begin < ids.length; ) {
      int end = begin + 1; // new tokens' rows follow one another: one copy for each run
      while (end < ids.length && ids[end] == ids[end - 1] + 1) {
        end++;
      }
      try (Tensor source = from.narrow(0, begin, end - begin);
          Tensor target = table.narrow(0, ids[begin], end - begin)) {
        target.copyFrom(source);
      }
      begin = end;
    }
  }

  /**
   * Adds to the gradient what comes from looking tokens up.
   *
   * @param tokens looked up
   * @param learns which of them count
   * @param dy gradient by the rows looked up, {@code [N, hidden]}
   */
  void addLookedUp(int[] tokens, IntPredicate learns, Tensor dy, double scale) {
    int[] positions = positions(tokens, learns);
    if (positions.length == 0) {
      return;
    }
    // which row each position adds to: dW = Sᵀ·dy
    float[] selects = new float[positions.length * ids.length];
    for (int p = 0; p < positions.length; p++) {
      selects[p * ids.length + indexOf(tokens[positions[p]])] = (float) scale;
    }
    try (Tensor index = Tensor.ofIndices(dy.device(), positions);
        Tensor own = Tensor.empty(dy.device(), dy.dtype(), positions.length, dy.size(1));
        Tensor wide = Ops.indexSelect(own, dy, index).to(DType.FLOAT32);
        Tensor rows = Tensor.of(dy.device(), selects, positions.length, ids.length);
        Tensor transposed = rows.t()) {
      Ops.addmm(values.grad(), transposed, wide, 1, 1);
    }
  }

  private int[] positions(int[] tokens, IntPredicate learns) {
    int[] positions = new int[tokens.length];
    int count = 0;
    for (int p = 0; p < tokens.length; p++) {
      if (indexOf(tokens[p]) >= 0 && learns.test(tokens[p])) {
        positions[count++] = p;
      }
    }
    return Arrays.copyOf(positions, count);
  }

  /**
   * The gradients of a product's columns that are these rows', {@code [N, ids]}; the caller closes
   * them.
   *
   * @param gradient {@code [N, vocabulary]}
   */
  Tensor columns(Tensor gradient) {
    Tensor own = Tensor.empty(gradient.device(), gradient.dtype(), gradient.size(0), ids.length);
    try (Tensor index = Tensor.ofIndices(gradient.device(), ids)) {
      return Ops.indexSelect(own, gradient, 1, index);
    } catch (RuntimeException e) {
      own.close();
      throw e;
    }
  }
}
