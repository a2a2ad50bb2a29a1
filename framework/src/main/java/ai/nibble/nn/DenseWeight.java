package ai.nibble.nn;

import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;
import java.util.Optional;

/** A weight held as plain values: frozen as it was stored, or trained in float32. */
public final class DenseWeight implements Weight {
  private static final int ROWS_A_RANGE = 32;

  private final Tensor weight;
  private final Parameter parameter;

  /**
   * A frozen weight.
   *
   * @param weight contiguous {@code [out, in]}, float32 or bfloat16; taken over
   */
  public DenseWeight(Tensor weight) {
    this.weight = weight;
    this.parameter = null;
  }

  /**
   * A trained weight.
   *
   * @param parameter {@code [out, in]}, which stays its set's
   */
  public DenseWeight(Parameter parameter) {
    this.weight = parameter.value().share();
    this.parameter = parameter;
  }

  /** The weight itself. */
  public Tensor tensor() {
    return weight;
  }

  @Override
  public long outFeatures() {
    return weight.size(0);
  }

  @Override
  public long inFeatures() {
    return weight.size(1);
  }

  @Override
  public long bytes() {
    return weight.byteSize();
  }

  @Override
  public Optional<Parameter> parameter() {
    return Optional.ofNullable(parameter);
  }

  @Override
  public String format() {
    return weight.dtype().torchName();
  }

  @Override
  public void writeTo(Tensor destination, long firstRow, Precision precision) {
    boolean round =
        precision.compute() == DType.BFLOAT16
            && weight.dtype() != DType.BFLOAT16
            && destination.dtype() != DType.BFLOAT16;
    int in = (int) inFeatures();
    Parallel.forRanges(
        outFeatures(),
        ROWS_A_RANGE,
        (begin, end) -> {
          Rows from = Rows.of(weight, begin, end);
          Rows to = Rows.of(destination, firstRow + begin, firstRow + end);
          float[] row = new float[in];
          for (long r = begin; r < end; r++) {
            from.load(r, row);
            if (round) {
              for (int c = 0; c < in; c++) {
                row[c] = Bfloat16.round(row[c]);
              }
            }
            to.store(firstRow + r, 0, row, in);
          }
        });
  }

  @Override
  public void close() {
    weight.close();
  }
}
