package ai.nibble.nn;

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
 */
public record LowRank(
    Parameter a, Parameter b, double scaling, double dropout, Optional<Parameter> magnitude) {
  /** A plain update. */
  public LowRank(Parameter a, Parameter b, double scaling, double dropout) {
    this(a, b, scaling, dropout, Optional.empty());
  }

  public int rank() {
    return (int) a.value().size(0);
  }
}
