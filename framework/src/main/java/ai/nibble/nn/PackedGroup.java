package ai.nibble.nn;

import ai.nibble.quant.PackedInput;
import ai.nibble.quant.PackedProduct;
import ai.nibble.quant.QuantizedMatrix;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Team;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.util.List;
import java.util.Optional;

/**
 * A {@link LinearGroup} made ready for products with its 4-bit weights as they lie packed, for a
 * few rows at a time: {@code y = g ⊙ (x·Wᵀ + (x·Aᵀ)·(s·B)ᵀ) + bias}. Of the adapters it holds
 * copies: A and {@code s·B}, rounded as {@link LinearGroup#writeWeights} rounds them.
 */
final class PackedGroup implements FewRowsProduct {
  /** Elements of weights a parallel range, some 10 µs. */
  private static final int ELEMENTS_A_RANGE = 1 << 17;

  /** The same where a range costs no region of its own; threads end at about the same time. */
  private static final int TOKEN_ELEMENTS_A_RANGE = 1 << 16;

  private final LinearGroup group;
  private final Precision precision;
  private final List<PackedProduct> products;
  private final Scope scope = new Scope();
  private final float[] biases;
  private final float[] gains;
  private Tensor down;
  private Tensor up;
  private DenseRows downRows;
  private FloatBuffer upRows;

  /** One row's {@code x·Aᵀ}. */
  private float[] lowered;

  /** Whether all weights of a group are such that they can be read packed. */
  static boolean takes(LinearGroup group) {
    return group.members().stream()
        .map(PackedGroup::matrix)
        .allMatch(matrix -> matrix.filter(PackedProduct::takes).isPresent());
  }

  /** A member's weight, where it is held in 4 bits. */
  private static Optional<QuantizedMatrix> matrix(Linear member) {
    if (member.weight() instanceof Quant4Weight weight) {
      return Optional.of(weight.quantized());
    }
    return member.weight() instanceof GroupedWeight weight
        ? Optional.of(weight.matrix())
        : Optional.empty();
  }

  PackedGroup(LinearGroup group, Precision precision) {
    this.group = group;
    this.precision = precision;
    this.products =
        group.members().stream()
            .map(member -> matrix(member).orElseThrow())
            .map(matrix -> new PackedProduct(matrix, precision.compute()))
            .toList();
    this.biases = group.biases();
    try (DoraGains made = group.gains(precision)) {
      this.gains = made == null ? null : made.gains().toFloats();
    }
    if (group.rank() > 0) {
      try {
        down = scope.own(group.downProjections(precision.product()));
        try (Tensor rounded =
            Tensor.empty(group.device(), precision.product(), group.outFeatures(), group.rank())) {
          group.writeUpProjections(rounded, 0);
          up = scope.own(rounded.to(DType.FLOAT32));
        }
        lowered = new float[group.rank()];
        downRows = new DenseRows(down);
        upRows = up.floats();
      } catch (RuntimeException e) {
        scope.close();
        throw e;
      }
    }
  }

  /** Bytes that such a copy of a group's adapters takes. */
  static long bytes(LinearGroup group, Precision precision) {
    long a = (long) group.inFeatures() * precision.product().bytes();
    long b = (long) group.outFeatures() * Float.BYTES;
    return group.rank() * (a + b);
  }

  @Override
  public Tensor apply(Tensor input) {
    int n = (int) input.size(0);
    int in = group.inFeatures();
    int out = group.outFeatures();
    PackedInput x = new PackedInput(n, in);
    try (Rows rows = Rows.reading(input, 0, n)) {
      float[] row = new float[in];
      for (int r = 0; r < n; r++) {
        rows.load(r, row);
        x.set(r, row);
      }
    }
    float[] y = new float[n * out];
    Parallel.forRanges(
        out, Math.max(1, ELEMENTS_A_RANGE / in), (begin, end) -> multiply(x, y, begin, end));
    try (Scope sums = new Scope()) {
      Tensor sum = sums.own(Tensor.of(input.device(), y, n, out));
      if (up != null) {
        addAdapters(input, sum);
      }
      if (gains != null) {
        scale(sum);
      }
      group.addBiases(sum);
      return precision.compute() == DType.FLOAT32 ? sum.share() : sum.to(precision.compute());
    }
  }

  /**
   * One row's outputs in the compute dtype, by all threads of a team; that dtype is the product's.
   *
   * @param y receives them, {@code [out]}
   * @param last runs once all are there
   */
  void apply(Team team, TokenRow x, float[] y, Runnable last) {
    int in = group.inFeatures();
    int out = group.outFeatures();
    long grain = Math.max(1, TOKEN_ELEMENTS_A_RANGE / in);
    if (down != null) {
      team.ranges(
          lowered.length,
          grain,
          (begin, end) -> downRows.multiply(begin, end, x, lowered),
          () -> precision.product().round(lowered, 0, lowered.length));
    }
    team.ranges(
        out,
        grain,
        (begin, end) -> {
          multiply(x.packed(), y, begin, end);
          complete(y, (int) begin, (int) end);
        },
        last);
  }

  /** Adds to one row's outputs {@code [begin, end)} what adapters and biases add; rounds. */
  private void complete(float[] y, int begin, int end) {
    if (down != null) {
      int rank = lowered.length;
      float[] row = new float[rank];
      for (int o = begin; o < end; o++) {
        upRows.get(o * rank, row);
        float sum = 0;
        for (int k = 0; k < rank; k++) {
          sum += lowered[k] * row[k];
        }
        y[o] += sum;
      }
    }
    if (gains != null) {
      for (int o = begin; o < end; o++) {
        y[o] *= gains[o];
      }
    }
    if (biases != null) {
      for (int o = begin; o < end; o++) {
        y[o] += biases[o];
      }
    }
    precision.compute().round(y, begin, end);
  }

  /** Outputs {@code [begin, end)} of the group, which may lie in several members. */
  private void multiply(PackedInput x, float[] y, long begin, long end) {
    int out = group.outFeatures();
    int column = 0;
    for (int m = 0; m < products.size(); m++) {
      int width = (int) group.members().get(m).weight().outFeatures();
      long from = Math.max(begin, column) - column;
      long to = Math.min(end, column + width) - column;
      if (from < to) {
        products.get(m).multiply(from, to, x, y, column, out);
      }
      column += width;
    }
  }

  /** Multiplies every row by the gains. */
  private void scale(Tensor sum) {
    FloatBuffer values = sum.floats();
    for (int i = 0; i < values.limit(); i++) {
      values.put(i, values.get(i) * gains[i % gains.length]);
    }
  }

  private void addAdapters(Tensor input, Tensor sum) {
    try (Scope scope = new Scope()) {
      Tensor x = precision.widens() ? scope.own(input.to(precision.product())) : input;
      Tensor h = scope.empty(input.device(), precision.product(), input.size(0), group.rank());
      Ops.mm(h, x, scope.own(down.t()));
      Tensor wide = precision.product() == DType.FLOAT32 ? h : scope.own(h.to(DType.FLOAT32));
      Ops.addmm(sum, wide, scope.own(up.t()), 1, 1);
    }
  }

  @Override
  public void close() {
    scope.close();
  }
}
