package ai.nibble.nn;

import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * A {@link LinearGroup} that {@link Int8Product} takes, made ready for generation: its products are
 * those of {@link Int8Product}, and of the adapters it holds copies, A and {@code s·B}.
 */
final class Int8Group implements FewRowsProduct {
  private final LinearGroup group;
  private final Precision precision;
  private final Scope scope = new Scope();
  private final Workspace work;
  private final Int8Product product;
  private Tensor down;
  private Tensor up;

  /** Bytes that such a copy of a group's adapters takes. */
  static long bytes(LinearGroup group, Precision precision) {
    return (long) group.rank()
        * (group.inFeatures() + group.outFeatures())
        * precision.product().bytes();
  }

  Int8Group(LinearGroup group, Precision precision) {
    this.group = group;
    this.precision = precision;
    this.work = scope.own(new Workspace(group.members().get(0).weight().device()));
    this.product = new Int8Product(group, precision, work);
    if (group.rank() > 0) {
      try {
        down = scope.own(group.downProjections(precision.product()));
        up = scope.own(group.upProjections(precision.product()));
      } catch (RuntimeException e) {
        scope.close();
        throw e;
      }
    }
  }

  @Override
  public Tensor apply(Tensor input) {
    long n = input.size(0);
    Tensor y = Tensor.empty(input.device(), precision.product(), n, group.outFeatures());
    try (Scope parts = new Scope()) {
      product.multiply(y, input);
      if (up != null) {
        Tensor x = precision.widens() ? parts.own(input.to(precision.product())) : input;
        Tensor h = parts.empty(input.device(), precision.product(), n, group.rank());
        Ops.mm(h, x, parts.own(down.t()));
        Ops.addmm(y, h, parts.own(up.t()), 1, 1);
      }
      group.addBiases(y);
    } catch (RuntimeException e) {
      y.close();
      throw e;
    }
    if (!precision.widens()) {
      return y;
    }
    try (y) {
      return y.to(precision.compute());
    }
  }

  @Override
  public void close() {
    scope.close();
  }
}
