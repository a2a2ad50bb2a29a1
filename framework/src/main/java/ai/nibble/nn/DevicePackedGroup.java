package ai.nibble.nn;

import ai.nibble.cuda.Weight4;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * A {@link LinearGroup} whose weights are read on a GPU as they lie in 4 bits: products of up to
 * {@link Weight4#MAX_ROWS} rows, for generation. Holds a copy of the adapters as they were.
 */
final class DevicePackedGroup implements FewRowsProduct {
  private final LinearGroup group;
  private final Scope scope = new Scope();
  private Tensor down;
  private Tensor up;
  private Tensor gains;

  /** Whether all weights of a group are such that they can be read packed. */
  static boolean takes(LinearGroup group) {
    return group.members().stream()
        .allMatch(m -> m.weight() instanceof Quant4Weight w && !w.device().isCpu());
  }

  DevicePackedGroup(LinearGroup group, Precision precision) {
    this.group = group;
    if (group.rank() > 0) {
      try {
        down = scope.own(group.downProjections(precision.product()));
        up = scope.empty(down.device(), precision.product(), group.outFeatures(), group.rank());
        group.writeUpProjections(up, 0);
        DoraGains made = group.gains(precision);
        gains = made == null ? null : scope.own(made).gains();
      } catch (RuntimeException e) {
        scope.close();
        throw e;
      }
    }
  }

  @Override
  public Tensor apply(Tensor input) {
    long n = input.size(0);
    Tensor y = Tensor.empty(input.device(), input.dtype(), n, group.outFeatures());
    try (Scope parts = new Scope()) {
      long column = 0;
      for (Linear member : group.members()) {
        long out = member.weight().outFeatures();
        Weight4 weight = ((Quant4Weight) member.weight()).quantized().forKernels();
        weight.multiply(parts.own(y.narrow(1, column, out)), input);
        column += out;
      }
      if (up != null) {
        Tensor h = parts.empty(input.device(), input.dtype(), n, group.rank());
        Ops.mm(h, input, parts.own(down.t()));
        Ops.addmm(y, h, parts.own(up.t()), 1, 1);
      }
      if (gains != null) {
        Ops.mul(y, y, gains);
      }
      group.addBiases(y);
      return y;
    } catch (RuntimeException e) {
      y.close();
      throw e;
    }
  }

  @Override
  public void close() {
    scope.close();
  }
}
