package ai.nibble.nn;

import ai.nibble.autograd.Earlier;
import ai.nibble.autograd.Function;
import ai.nibble.autograd.Gradients;
import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.cuda.LoraKernels;
import ai.nibble.nn.Workspace.Purpose;
import ai.nibble.nn.vector.Sum512;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;

/**
 * Forward and backward of a {@link LinearGroup}. Saves x and {@code xAᵀ}; the dequantised weight is
 * made anew in backward. Both operands end with columns of zeros where that makes products faster.
 *
 * <p>Where a weight is held in 8 bits, forward is {@link Int8Product} and the adapters' product is
 * added to it; backward is the same, with the dequantised weight, as bitsandbytes has it.
 *
 * <p>With {@code We = [W, s·B]}, {@code xe = [x, d(x)Aᵀ]} and d the dropout: {@code y = xe·Weᵀ};
 * {@code [dx, dh] = dy·We}; {@code dB = s·dyᵀ·d(x)Aᵀ}; {@code dA = dhᵀ·d(x)}; {@code dx +=
 * d(dh·A)}. Members that are trained themselves: {@link WeightGradients}.
 *
 * <p>Where rows have magnitudes, with their {@link DoraGains} g and {@code t = [d(x), d(x)Aᵀ]·Weᵀ}:
 * {@code y = (x − d(x))·Wᵀ + g ⊙ t}, as PEFT has it, whose first term dropout alone makes; {@code
 * dt = g ⊙ dy} takes dy's place above, and {@code dx = dy·W + d(dt·W + dh·A − dy·W)}.
 */
final class LinearGroupFunction extends Function {
  private final LinearGroup group;
  private final Pass pass;
  private final Precision precision;
  private final Workspace work;
  private final Earlier earlier;
  private final int in;
  private final int out;
  private final int rank;
  private final int width;
  private final boolean trained;
  private final double dropout;
  private final boolean drops;
  private final boolean dora;
  private Tensor x;
  private Tensor down;
  private DoraGains gains;
  private Tensor kept;
  private boolean keptIsOutput;

  LinearGroupFunction(
      LinearGroup group, Pass pass, Precision precision, Workspace work, Earlier earlier) {
    this.group = group;
    this.pass = pass;
    this.precision = precision;
    this.work = work;
    this.earlier = earlier;
    this.in = group.inFeatures();
    this.out = group.outFeatures();
    this.rank = group.rank();
    this.width = group.width();
    this.trained = group.isTrained();
    this.dropout = group.dropout();
    this.drops = pass.training() && dropout > 0;
    this.dora = group.isDora();
  }

  @Override
  protected boolean hasParameters() {
    return rank > 0 || trained;
  }

  @Override
  protected Tensor[] forward(Tensor[] inputs) {
    Tensor input = inputs[0];
    long n = input.size(0);
    if (group.packedFor(n) != null && !isRecording() && !drops) {
      return new Tensor[] {group.packedFor(n).apply(input)};
    }
    try (Scope scope = new Scope()) {
      if (rank > 0 || trained) {
        x = save(input);
      }
      Tensor h = null;
      Tensor read = null;
      if (rank > 0) {
        h =
            hasRoom(input) && !(dora && drops)
                ? scope.own(scope.own(input.withRoom()).narrow(1, in, rank))
                : scope.own(Tensor.empty(input.device(), precision.product(), n, rank));
        Tensor a = scope.own(group.downProjections(precision.product()));
        read = scope.own(adapterInput(input));
        Ops.mm(h, read, scope.own(a.t()));
        down = save(h);
      }
      // magnitudes learn from the output, whoever else reads it
      boolean unknown = dora && (earlier == Earlier.UNREAD || !group.keepsOutput(drops));
      Tensor known = unknown ? null : earlier.output(input.device(), precision.compute(), n, out);
      if (known != null && dora) {
        kept = save(known);
        keptIsOutput = true;
      }
      return new Tensor[] {
        known != null ? known : dora ? scaledProduct(input, read, h) : product(input, h)
      };
    }
  }

  /**
   * As {@link #product}, where rows have magnitudes.
   *
   * @param read the input after dropout
   */
  private Tensor scaledProduct(Tensor input, Tensor read, Tensor h) {
    long n = input.size(0);
    Tensor y = Tensor.empty(input.device(), precision.compute(), n, out);
    try (Scope scope = new Scope()) {
      keptIsOutput = group.keepsOutput(drops);
      Tensor product =
          precision.widens() ? scope.own(work.get(Purpose.OUTPUT, precision.product(), n, out)) : y;
      Tensor u =
          keptIsOutput || !isRecording() && !drops
              ? product
              : scope.empty(y.device(), precision.product(), n, out);
      Tensor weight = scope.own(weight());
      multiply(u, drops ? read : input, h, weight, scope);
      DoraGains factors = gains(weight, scope);
      if (drops) {
        Tensor difference = scope.own(difference(input, read));
        Ops.mm(product, difference, scope.own(scope.own(weight.narrow(1, 0, in)).t()));
      }
      factors.apply(group, product, u, drops);
      if (precision.widens()) {
        y.copyFrom(product);
      }
      kept = save(keptIsOutput ? y : u);
      return y;
    } catch (RuntimeException e) {
      y.close();
      throw e;
    }
  }

  /** Those that are kept while the group's weights are, or new ones, saved for backward. */
  private DoraGains gains(Tensor weight, Scope scope) {
    if (group.keptGains() != null) {
      return group.keptGains();
    }
    Tensor a = scope.own(group.downProjections(precision.product()));
    DoraGains made = DoraGains.of(group, weight, a);
    if (isRecording()) {
      gains = keep(made);
    } else {
      scope.own(made);
    }
    return made;
  }

  /** {@code x − d(x)} in the product's dtype. */
  private Tensor difference(Tensor input, Tensor dropped) {
    try (Tensor wide = precision.widens() ? input.to(precision.product()) : input.share()) {
      return Ops.add(wide, dropped, -1);
    }
  }

  /** {@code [input, h]} times the weights, and biases; h null without adapters. */
  private Tensor product(Tensor input, Tensor h) {
    long n = input.size(0);
    Tensor y = Tensor.empty(input.device(), precision.compute(), n, out);
    try (Scope scope = new Scope()) {
      Tensor product =
          precision.widens() ? scope.own(work.get(Purpose.OUTPUT, precision.product(), n, out)) : y;
      if (Int8Product.takes(group)) {
        new Int8Product(group, precision, work).multiply(product, input);
        if (h != null) {
          Tensor up = scope.own(group.upProjections(precision.product()));
          Ops.addmm(product, h, scope.own(up.t()), 1, 1);
        }
      } else {
        multiply(product, input, h, scope.own(weight()), scope);
      }
      group.addBiases(product);
      if (precision.widens()) {
        y.copyFrom(product);
      }
      return y;
    } catch (RuntimeException e) {
      y.close();
      throw e;
    }
  }

  /** {@code product = [input, h] · [W, s·B]ᵀ}. */
  private void multiply(Tensor product, Tensor input, Tensor h, Tensor weight, Scope scope) {
    Tensor extended = input;
    if (h != null) {
      boolean room = hasRoom(input) && !(dora && drops);
      extended = scope.own(room ? input.withRoom() : extend(input, h));
    } else if (precision.widens()) {
      extended = scope.own(work.get(Purpose.INPUT, precision.product(), input.size(0), in));
      extended.copyFrom(input);
    }
    Ops.mm(product, extended, scope.own(weight.t()));
  }

  private Tensor weight() {
    if (group.keptWeights() != null) {
      return group.keptWeights().share();
    }
    Tensor weight = work.get(Purpose.WEIGHT, precision.product(), out, width);
    group.writeWeights(weight, precision);
    return weight;
  }

  /** What the adapters read: x after dropout, in the product's dtype. */
  private Tensor adapterInput(Tensor input) {
    if (!drops && !precision.widens()) {
      return input.share();
    }
    Tensor dropped = work.get(Purpose.DROPPED, precision.product(), input.size(0), in);
    if (!drops) {
      return dropped.copyFrom(input);
    }
    long key = group.dropoutKey(pass);
    if (Kernels.serve(input)) {
      LoraKernels.dropout(dropped, input, key, dropout);
      return dropped;
    }
    Parallel.forRanges(
        input.size(0),
        Rows.grain(in),
        (begin, end) -> {
          try (Rows from = Rows.reading(input, begin, end);
              Rows to = Rows.writing(dropped, begin, end)) {
            float[] row = new float[in];
            for (long r = begin; r < end; r++) {
              from.load(r, row);
              Dropout.apply(row, in, r * dropoutStride(), key, dropout);
              to.store(r, row);
            }
          }
        });
    return dropped;
  }

  /** Indices of rows' first elements for dropout: multiples of 4, whatever the width. */
  private long dropoutStride() {
    return (in + 3L) & ~3L;
  }

  /** Whether h can be written behind the input's own columns. */
  private boolean hasRoom(Tensor input) {
    return group.room(precision) > 0 && input.stride(0) == width;
  }

  /** {@code [x, h, 0]} in the product's dtype. */
  private Tensor extend(Tensor input, Tensor h) {
    Tensor extended = work.get(Purpose.INPUT, precision.product(), input.size(0), width);
    if (Kernels.serve(input)) {
      LoraKernels.extend(extended, input, h);
      return extended;
    }
    try (Tensor left = extended.narrow(1, 0, in);
        Tensor right = extended.narrow(1, in, rank)) {
      left.copyFrom(input);
      right.copyFrom(h);
    }
    return extended;
  }

  @Override
  protected void backward(Tensor[] gradOutputs, Gradients gradients) {
    long n = gradOutputs[0].size(0);
    try (Scope scope = new Scope()) {
      Tensor dy = gradOutputs[0];
      if (precision.widens()) {
        dy = scope.own(work.get(Purpose.OUTPUT, precision.product(), n, out));
        dy.copyFrom(gradOutputs[0]);
      }
      if (trained) {
        WeightGradients.accumulate(group, x, dy, work);
      }
      Tensor weight = scope.own(weight());
      boolean wanted = gradients.wanted(0);
      Tensor base = null;
      if (dora) {
        if (drops && wanted) {
          base = scope.empty(dy.device(), precision.product(), n, in);
          Ops.mm(base, dy, scope.own(weight.narrow(1, 0, in)));
        }
        Tensor dt = scope.own(work.get(Purpose.SCALED, precision.product(), n, out));
        DoraGains factors = gains != null ? gains : gains(weight, scope);
        factors.backward(group, dt, dy, kept, keptIsOutput);
        dy = dt;
      }
      Tensor all = null;
      Tensor dh = null;
      if (wanted) {
        all =
            scope.own(
                sumsInPlace()
                    ? Tensor.empty(dy.device(), precision.product(), n, width)
                    : work.get(Purpose.INPUT, precision.product(), n, width));
        Ops.mm(all, dy, weight);
      }
      Tensor a = null;
      if (rank > 0) {
        if (wanted) {
          dh = scope.own(all.narrow(1, in, rank));
        } else {
          dh = scope.own(Tensor.empty(dy.device(), precision.product(), n, rank));
          Ops.mm(dh, dy, scope.own(weight.narrow(1, in, rank)));
        }
        a = scope.own(group.downProjections(precision.product()));
        accumulateAdapterGradients(dy, dh);
      }
      if (wanted) {
        gradients.add(
            0, sumsInPlace() ? sumInPlace(all, dh, a) : inputGradient(gradients, all, dh, a, base));
      }
    }
  }

  /** Whether the input's gradient may have rows that lie apart, and its parts can be added so. */
  private boolean sumsInPlace() {
    return rank > 0 && hasRoom(x) && !drops;
  }

  /** {@code dy·W + dh·A} in the memory of the first, whose columns from {@code in} on are dh. */
  private Tensor sumInPlace(Tensor all, Tensor dh, Tensor a) {
    Tensor result = all.narrow(1, 0, in);
    try {
      return Ops.addmm(result, dh, a, 1, 1);
    } catch (RuntimeException e) {
      result.close();
      throw e;
    }
  }

  private void accumulateAdapterGradients(Tensor dy, Tensor dh) {
    try (Scope scope = new Scope()) {
      Tensor dA = scope.own(Tensor.empty(dy.device(), precision.product(), rank, in));
      Ops.mm(dA, scope.own(dh.t()), scope.own(adapterInput(x)));
      long row = 0;
      long column = 0;
      for (Linear member : group.members()) {
        long width = member.weight().outFeatures();
        if (member.adapter().isPresent()) {
          LowRank adapter = member.adapter().get();
          int r = adapter.trainedRank();
          accumulate(adapter.a().grad(), scope.own(dA.narrow(0, column, r)), 1);
          Tensor dB = scope.own(Tensor.empty(dy.device(), precision.product(), width, r));
          Tensor dyOwn = scope.own(scope.own(dy.narrow(1, row, width)).t());
          Ops.mm(dB, dyOwn, scope.own(down.narrow(1, column, r)));
          accumulate(adapter.b().grad(), dB, adapter.scaling());
          column += adapter.rank();
        }
        row += width;
      }
    }
  }

  private static void accumulate(Tensor grad, Tensor gradient, double scale) {
    if (Kernels.serve(grad)) {
      ElementwiseKernels.addScaled(grad, gradient, gradient.stride(0), scale);
      return;
    }
    try (Tensor sum = Ops.add(grad, gradient, scale)) {
      grad.copyFrom(sum);
    }
  }

  /**
   * What flowed into x before, plus {@code dy·W}, plus the adapters' part through dropout.
   *
   * @param base where magnitudes meet dropout, dy·W: the first columns of {@code all} are dt·W
   */
  private Tensor inputGradient(Gradients gradients, Tensor all, Tensor dh, Tensor a, Tensor base) {
    long n = all.size(0);
    Tensor result = Tensor.empty(all.device(), precision.compute(), n, in);
    try (Scope scope = new Scope()) {
      Tensor through = null;
      if (rank > 0) {
        through = scope.own(work.get(Purpose.DROPPED, precision.product(), n, in));
        Ops.mm(through, dh, a);
        if (base != null) {
          addDifference(through, scope.own(all.narrow(1, 0, in)), base);
        }
      }
      Tensor before = gradients.take(0);
      if (before != null) {
        scope.own(before);
      }
      sum(result, base != null ? base : all, through, before);
      return result;
    } catch (RuntimeException e) {
      result.close();
      throw e;
    }
  }

  /** {@code through += scaled − base}. */
  private static void addDifference(Tensor through, Tensor scaled, Tensor base) {
    try (Tensor sum = Ops.add(through, scaled, 1);
        Tensor difference = Ops.add(sum, base, -1)) {
      through.copyFrom(difference);
    }
  }

  private void sum(Tensor result, Tensor all, Tensor through, Tensor before) {
    long key = group.dropoutKey(pass);
    if (Kernels.serve(result)) {
      LoraKernels.inputGradient(result, all, through, before, key, drops ? dropout : 0);
      return;
    }
    if (!drops && PairRows.serve(in, result, all, through, before)) {
      sumRows(result, all, through, before);
      return;
    }
    Parallel.forRanges(
        result.size(0),
        Rows.grain(in),
        (begin, end) -> {
          try (Rows base = Rows.reading(all, begin, end, 0, in);
              Rows low = through == null ? null : Rows.reading(through, begin, end);
              Rows prior = before == null ? null : Rows.reading(before, begin, end);
              Rows to = Rows.writing(result, begin, end)) {
            float[] row = new float[in];
            float[] other = new float[in];
            for (long r = begin; r < end; r++) {
              base.load(r, row);
              if (low != null) {
                low.load(r, other);
                if (drops) {
                  Dropout.apply(other, in, r * dropoutStride(), key, dropout);
                }
                add(row, other);
              }
              if (prior != null) {
                prior.load(r, other);
                add(row, other);
              }
              to.store(r, row);
            }
          }
        });
  }

  /** As {@link #sum} without dropout, of rows that {@link PairRows} serve. */
  private void sumRows(Tensor result, Tensor all, Tensor through, Tensor before) {
    Parallel.forRanges(
        result.size(0),
        Rows.grain(in),
        (begin, end) ->
            Sum512.add(
                PairRows.window(all, begin, end),
                PairRows.bytes(all),
                PairRows.window(through, begin, end),
                PairRows.window(before, begin, end),
                PairRows.window(result, begin, end),
                (int) (end - begin),
                in));
  }

  private static void add(float[] row, float[] other) {
    for (int c = 0; c < row.length; c++) {
      row[c] += other[c];
    }
  }
}
