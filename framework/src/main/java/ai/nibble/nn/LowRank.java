package ai.nibble.nn;

/**
 * A low-rank update of a frozen linear: {@code y += scaling · B(A(dropout(x)))} (Hu et al. 2021).
 *
 * @param a {@code [r, in]}
 * @param b {@code [out, r]}
 * @param scaling {@code alpha/r}, or {@code alpha/√r} with rank stabilisation
 * @param dropout probability with which an element of x is dropped while training, in [0, 1)
 */
public record LowRank(Parameter a, Parameter b, double scaling, double dropout) {
  public int rank() {
    return (int) a.value().size(0);
  }
}
