package ai.nibble.cuda;

/**
 * How rows are normalised by their root mean square.
 *
 * @param eps added to the mean square
 * @param rounds whether the normalised value is rounded to the rows' dtype before it meets the
 *     weight; else both are multiplied in float32
 * @param offset added to each weight before it is multiplied by
 */
public record NormRule(float eps, boolean rounds, float offset) {
  /** As Llama has it: rounded, and the weight as it is. */
  public static NormRule rounded(double eps) {
    return new NormRule((float) eps, true, 0);
  }
}
