package ai.nibble.nn;

import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;

/**
 * What DoRA multiplies a group's outputs by (Liu et al. 2024, equation 5): {@code g = m / ‖W +
 * s·B·A‖} for each row of a weight that has a magnitude m, 1 for the others. The norm counts as a
 * constant in backward (section 4.3 there; PEFT does so too).
 *
 * <p>The norms need no sum W + s·B·A. With U = s·B and the products' own, rounded values of W, U
 * and A it is {@code ‖W_o‖² + Σ_k U_ok · (2·W·Aᵀ + U·(A·Aᵀ))_ok}, of which the first term is
 * computed once, and {@code W·Aᵀ} costs r columns of a product. All sums are float32, whatever the
 * products' dtype: in bfloat16 {@code W·Aᵀ} is rounded to it, an error of at most 2⁻⁹ of a term
 * that is small beside the first. PEFT rounds W + s·B·A and its norm to that dtype.
 *
 * @param gains float32 {@code [out]}
 * @param norms float32 {@code [out]}; undefined where a row has no magnitude
 */
record DoraGains(Tensor gains, Tensor norms) implements AutoCloseable {
  /** Rows whose squares exist at a time. */
  private static final int ROWS_A_CHUNK = 256;

  /** Sums of the squares of each row, float32 {@code [out]}; the caller closes them. */
  static Tensor rowSquares(Tensor matrix) {
    long rows = matrix.size(0);
    Tensor sums = Tensor.empty(matrix.device(), DType.FLOAT32, rows);
    try (Tensor ones = ones(matrix, matrix.size(1), 1)) {
      for (long begin = 0; begin < rows; begin += ROWS_A_CHUNK) {
        long count = Math.min(ROWS_A_CHUNK, rows - begin);
        try (Tensor part = matrix.narrow(0, begin, count);
            Tensor values = copied(part);
            Tensor to = sums.narrow(0, begin, count);
            Tensor column = to.view(count, 1)) {
          Ops.mm(column, Ops.mul(values, values, values), ones);
        }
      }
      return sums;
    } catch (RuntimeException e) {
      sums.close();
      throw e;
    }
  }

  private static Tensor ones(Tensor like, long... shape) {
    try (Tensor zeros = Tensor.empty(like.device(), DType.FLOAT32, shape).zero()) {
      return Ops.exp(Tensor.empty(like.device(), DType.FLOAT32, shape), zeros);
    }
  }

  /** In float32, contiguous. */
  private static Tensor copied(Tensor part) {
    return Tensor.empty(part.device(), DType.FLOAT32, part.shape()).copyFrom(part);
  }

  /**
   * The gains of a group now.
   *
   * @param weight {@code [out, width]} of the products' dtype, {@code [W, s·B]} of all members
   * @param a {@code [rank, in]} of that dtype, all A below each other
   */
  static DoraGains of(LinearGroup group, Tensor weight, Tensor a) {
    long out = weight.size(0);
    Tensor gains = ones(weight, out);
    Tensor norms = Tensor.empty(weight.device(), DType.FLOAT32, out);
    try {
      long row = 0;
      long column = 0;
      for (Linear member : group.members()) {
        long rows = member.weight().outFeatures();
        if (member.adapter().isPresent()) {
          LowRank adapter = member.adapter().get();
          if (adapter.magnitude().isPresent()) {
            try (Scope scope = new Scope()) {
              Tensor own = scope.own(weight.narrow(0, row, rows));
              Tensor w = scope.own(own.narrow(1, 0, group.inFeatures()));
              Tensor up = scope.own(own.narrow(1, group.inFeatures() + column, adapter.rank()));
              Tensor down = scope.own(a.narrow(0, column, adapter.rank()));
              Tensor norm = scope.own(norms.narrow(0, row, rows));
              writeNorms(norm, member.squares(w), w, up, down);
              Ops.div(
                  scope.own(gains.narrow(0, row, rows)), adapter.magnitude().get().value(), norm);
            }
          }
          column += adapter.rank();
        }
        row += rows;
      }
      return new DoraGains(gains, norms);
    } catch (RuntimeException e) {
      gains.close();
      norms.close();
      throw e;
    }
  }

  private static void writeNorms(Tensor norms, Tensor squares, Tensor w, Tensor up, Tensor down) {
    long rows = w.size(0);
    long r = down.size(0);
    try (Scope scope = new Scope()) {
      Tensor cross = scope.empty(w.device(), w.dtype(), rows, r);
      Ops.mm(cross, w, scope.own(down.t()));
      Tensor sum = scope.own(copied(cross));
      Tensor u = scope.own(copied(up));
      Tensor d = scope.own(copied(down));
      Tensor gram = scope.empty(w.device(), DType.FLOAT32, r, r);
      Ops.addmm(sum, u, Ops.mm(gram, d, scope.own(d.t())), 2, 1);
      Tensor added = scope.empty(w.device(), DType.FLOAT32, rows, 1);
      Ops.mm(added, Ops.mul(sum, sum, u), scope.own(ones(w, r, 1)));
      Ops.sqrt(norms, scope.own(Ops.add(squares, scope.own(added.view(rows)), 1)));
    }
  }

  /**
   * Whether the gradients of the magnitudes follow from the group's output, so that what was
   * multiplied need not be kept beside it: nothing else is in it, and no factor is zero.
   */
  static boolean followFromOutput(LinearGroup group, boolean drops) {
    return GroupShape.followsFromOutput(drops, group.isBiased(), Kernels.serve(group.device()))
        && group.members().stream()
            .flatMap(m -> m.adapter().stream())
            .flatMap(adapter -> adapter.magnitude().stream())
            .noneMatch(m -> hasZero(m.value().floats()));
  }

  private static boolean hasZero(FloatBuffer values) {
    for (int i = 0; i < values.limit(); i++) {
      if (values.get(i) == 0) {
        return true;
      }
    }
    return false;
  }

  /**
   * {@code y = g ⊙ u + biases}, or with {@code adds} {@code y += …}.
   *
   * @param y {@code [N, out]} of the products' dtype; without {@code adds} it may be u
   * @param u {@code [N, out]} of that dtype
   */
  void apply(LinearGroup group, Tensor y, Tensor u, boolean adds) {
    if (Kernels.serve(y)) {
      if (adds) {
        try (Tensor scaled = Tensor.empty(u.device(), u.dtype(), u.shape())) {
          ElementwiseKernels.add(y, y, Ops.mul(scaled, u, gains));
        }
      } else {
        Ops.mul(y, u, gains);
      }
      group.addBiases(y);
      return;
    }
    float[] factors = gains.toFloats();
    float[] biases = group.isBiased() ? group.biases() : new float[factors.length];
    Parallel.forRanges(
        y.size(0),
        Rows.grain(factors.length),
        (begin, end) -> {
          try (Rows from = Rows.reading(u, begin, end);
              Rows to = adds ? Rows.updating(y, begin, end) : Rows.writing(y, begin, end)) {
            float[] row = new float[factors.length];
            float[] sum = new float[factors.length];
            for (long r = begin; r < end; r++) {
              from.load(r, row);
              if (adds) {
                to.load(r, sum);
              }
              for (int c = 0; c < row.length; c++) {
                row[c] = sum[c] + (factors[c] * row[c] + biases[c]);
              }
              to.store(r, row);
            }
          }
        });
  }

  /**
   * The gradient by what was multiplied, {@code dt = g ⊙ dy}, and by the magnitudes, {@code dm = Σ
   * dy ⊙ u / ‖W + s·B·A‖}, which are added to theirs.
   *
   * @param dt receives {@code [N, out]} of dy's dtype
   * @param dy {@code [N, out]}
   * @param kept u; where the gradients {@linkplain #followFromOutput follow from the output}, that,
   *     which is {@code m / ‖W + s·B·A‖ ⊙ u}
   */
  void backward(LinearGroup group, Tensor dt, Tensor dy, Tensor kept, boolean output) {
    try (Scope scope = new Scope()) {
      Tensor sums = scope.empty(dy.device(), DType.FLOAT32, dy.size(1)).zero();
      if (Kernels.serve(dy)) {
        Ops.mul(dt, dy, gains);
        Tensor products = scope.empty(dy.device(), dy.dtype(), dy.shape());
        ElementwiseKernels.columnSums(sums, Ops.mul(products, dy, kept), dy.size(1), 0);
      } else {
        multiply(dt, dy, kept, sums);
      }
      long row = 0;
      for (Linear member : group.members()) {
        long rows = member.weight().outFeatures();
        Parameter magnitude = member.adapter().flatMap(LowRank::magnitude).orElse(null);
        if (magnitude != null) {
          Tensor sum = scope.own(sums.narrow(0, row, rows));
          Tensor divisor = output ? magnitude.value() : scope.own(norms.narrow(0, row, rows));
          Tensor all = scope.own(Ops.add(magnitude.grad(), Ops.div(sum, sum, divisor), 1));
          magnitude.grad().copyFrom(all);
        }
        row += rows;
      }
    }
  }

  private void multiply(Tensor dt, Tensor dy, Tensor kept, Tensor sums) {
    float[] factors = gains.toFloats();
    int width = factors.length;
    ColumnSums columns = new ColumnSums(dy.size(0), Rows.grain(width), width);
    Parallel.forRanges(
        dy.size(0),
        Rows.grain(width),
        (begin, end) -> {
          try (Rows from = Rows.reading(dy, begin, end);
              Rows with = Rows.reading(kept, begin, end);
              Rows to = Rows.writing(dt, begin, end)) {
            float[] sum = columns.of(begin);
            float[] row = new float[width];
            float[] other = new float[width];
            for (long r = begin; r < end; r++) {
              from.load(r, row);
              with.load(r, other);
              for (int c = 0; c < width; c++) {
                sum[c] += row[c] * other[c];
                row[c] *= factors[c];
              }
              to.store(r, row);
            }
          }
        });
    columns.addTo(sums);
  }

  @Override
  public void close() {
    gains.close();
    norms.close();
  }
}
