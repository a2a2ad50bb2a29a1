package ai.nibble.nn;

import ai.nibble.tensor.Tensor;
import java.util.List;
import java.util.Optional;

/**
 * The weights of a {@link LinearGroup} as its products take them, {@code [W, s·B, 0]} of shape
 * {@code [out, width]} in the product's dtype, kept instead of being dequantised for each product.
 *
 * <p>W is written once, for it is frozen. The adapters' columns are written at each use, forward
 * and backward: B changes by an optimizer's step, a checkpoint that is read, values that another
 * worker sends or a hand of one's own, and a pass of a reference reads another B or none, and
 * nothing tells of all of these. They are {@code r} of {@code in + r} columns and would be written
 * where nothing is kept, too. Only while adapters are {@linkplain #fix fixed}, as for generation,
 * are they left as they are.
 *
 * <p>Adapters of other ranks make rows of another width. Products then read a copy of W in the
 * {@link Workspace}, since a product over rows that lie further apart may round otherwise.
 */
final class KeptWeights implements AutoCloseable {
  private final LinearGroup group;
  private final Precision precision;
  private final Tensor values;

  /** Null while the adapters' columns are written at each use. */
  private List<Optional<LowRank>> fixed;

  private DoraGains gains;

  /** Writes those of a group now, with rows as wide as its adapters make them. */
  KeptWeights(LinearGroup group, Precision precision) {
    this.group = group;
    this.precision = precision;
    this.values =
        Tensor.empty(group.device(), precision.product(), group.outFeatures(), group.width());
    try {
      group.writeWeights(values, precision);
    } catch (RuntimeException e) {
      values.close();
      throw e;
    }
  }

  /** Whether W is what products of that precision take. */
  boolean isOf(Precision other) {
    return precision.equals(other);
  }

  /** Whether rows are as wide as the adapters that are on the members now make them. */
  boolean fits() {
    return values.size(1) == group.width();
  }

  /** For a product with the adapters that are on the members now; the caller closes it. */
  Tensor current() {
    if (fixed == null) {
      group.writeAdapters(values);
    }
    return values.share();
  }

  /** Copies W into the first columns of {@code [out, any width]}. */
  void writeTo(Tensor destination) {
    try (Tensor source = values.narrow(1, 0, group.inFeatures());
        Tensor target = destination.narrow(1, 0, group.inFeatures())) {
      target.copyFrom(source);
    }
  }

  /** Takes in the adapters that are on the members now, and what DoRA multiplies by with them. */
  void fix() {
    free();
    if (fits()) {
      group.writeAdapters(values);
      gains = group.isDora() ? group.gains(values, precision) : null;
      fixed = group.adaptersNow();
    }
  }

  /** Ends {@link #fix}. */
  void free() {
    fixed = null;
    if (gains != null) {
      gains.close();
      gains = null;
    }
  }

  /** The gains of the fixed adapters; null where none are fixed or no row has a magnitude. */
  DoraGains gains() {
    return gains;
  }

  /**
   * @throws IllegalStateException if others were attached since adapters were fixed
   */
  void requireSameAdapters() {
    if (fixed != null) {
      group.requireAdapters(fixed);
    }
  }

  @Override
  public void close() {
    free();
    values.close();
  }
}
