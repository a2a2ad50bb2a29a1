package ai.nibble.nn;

import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.util.Optional;

/** A weight held as plain values: frozen as it was stored, or trained in float32. */
public final class DenseWeight implements Weight {
  private final Tensor weight;
  private final Parameter parameter;
  private TrainedRows rows;
  private Tensor originals;

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
  public Device device() {
    return weight.device();
  }

  @Override
  public long bytes() {
    return weight.byteSize();
  }

  @Override
  public Optional<Parameter> parameter() {
    return Optional.ofNullable(parameter);
  }

  /** The rows that are trained by themselves; empty where there are none. */
  public Optional<TrainedRows> trainedRows() {
    return Optional.ofNullable(rows);
  }

  /**
   * Trains some rows of this frozen weight by themselves, or no longer, with null: those that lay
   * there come back.
   */
  public void attach(TrainedRows trained) {
    if (parameter != null) {
      throw new IllegalArgumentException("rows of a weight that is trained as a whole");
    }
    if (rows != null) {
      rows.write(originals, weight);
      originals.close();
      originals = null;
    }
    rows = trained;
    if (rows != null) {
      originals = rows.in(weight);
      takeRows();
    }
  }

  /** Takes in the values that trained rows have now; to be called before the weight is read. */
  public void takeRows() {
    if (rows != null) {
      rows.write(rows.values().value(), weight);
    }
  }

  @Override
  public String format() {
    return weight.dtype().torchName();
  }

  @Override
  public void writeTo(Tensor destination, long firstRow, Precision precision) {
    DType rounded = precision.compute();
    boolean round = weight.dtype() != rounded && destination.dtype() != rounded;
    try (Tensor rows = destination.narrow(0, firstRow, outFeatures());
        Tensor columns = rows.narrow(1, 0, inFeatures());
        Tensor source = round ? weight.to(rounded) : weight.share()) {
      columns.copyFrom(source);
    }
  }

  @Override
  public void close() {
    if (originals != null) {
      originals.close();
    }
    weight.close();
  }
}
