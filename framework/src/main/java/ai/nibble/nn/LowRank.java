package ai.nibble.nn;

import ai.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * A low-rank update of a frozen linear: {@code y += scaling · B(A(dropout(x)))} (Hu et al. 2021);
 * with a magnitude the rows of {@code W + scaling·B·A} are scaled to it ({@link DoraGains}).
 *
 * @param a {@code [r, in]}
 * @param b {@code [out, r]}
 * @param scaling {@code alpha/r}, or {@code alpha/√r} with rank stabilisation
 * @param dropout probability with which an element of x is dropped while training, in [0, 1)
 * @param magnitude {@code [out]}; empty for a plain update
 * @param fixed a second pair that is added like the first and not trained; empty for none
 */
public record LowRank(
    Parameter a,
    Parameter b,
    double scaling,
    double dropout,
    Optional<Parameter> magnitude,
    Optional<Fixed> fixed) {

  /**
   * Matrices that stay what they are.
   *
   * @param a float32 {@code [k, in]}, the maker's to close
   * @param b float32 {@code [out, k]}, likewise
   */
  public record Fixed(Tensor a, Tensor b) {}

  /** A plain update. */
  public LowRank(Parameter a, Parameter b, double scaling, double dropout) {
    this(a, b, scaling, dropout, Optional.empty(), Optional.empty());
  }

  /** Columns that the update adds to a product: the ranks of both pairs. */
  public int rank() {
    return trainedRank() + fixed.map(pair -> (int) pair.a().size(0)).orElse(0);
  }

  /** Rank of the trained pair. */
  public int trainedRank() {
    return (int) a.value().size(0);
  }

  /** The trained A with the fixed below it, float32 {@code [rank, in]}; the caller closes it. */
  public Tensor down() {
    return fixed.isEmpty() ? a.value().share() : joined(a.value(), fixed.get().a(), 0);
  }

  /** The trained B with the fixed beside it, float32 {@code [out, rank]}; the caller closes it. */
  public Tensor up() {
    return fixed.isEmpty() ? b.value().share() : joined(b.value(), fixed.get().b(), 1);
  }

  private static Tensor joined(Tensor first, Tensor second, int dimension) {
    long[] shape = first.shape();
    shape[dimension] += second.size(dimension);
    Tensor all = Tensor.empty(first.device(), first.dtype(), shape);
    try (Tensor begin = all.narrow(dimension, 0, first.size(dimension));
        Tensor end = all.narrow(dimension, first.size(dimension), second.size(dimension))) {
      begin.copyFrom(first);
      end.copyFrom(second);
      return all;
    }
  }
}
