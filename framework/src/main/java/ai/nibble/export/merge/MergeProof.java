package ai.nibble.export.merge;

/**
 * That a merged model computes what its base and adapters do, on sample prompts and in float32.
 *
 * <p>The two differ by the rounding of the merged weights to the output's dtype, and by the order
 * in which float32 sums are taken. What that does to logits depends on the model, so it is
 * measured: the merged model is computed once more with its weights moved at random by as much
 * ({@link DitheredWeights}), a second draw of the same kind of error. A wrong scaling, base or
 * tensor is off by the size of the adapter's effect, which is printed beside.
 *
 * <p>How far two draws may be apart: rounding moves each weight by at most half a unit in its last
 * place (2⁻⁸ of it in bfloat16). To first order the logits' errors are then one linear map of
 * independent bounded errors, as many as there are weights, in either draw: two Gaussian vectors of
 * the same covariance, whatever the layers and the logits' scale make of it. The largest error is a
 * norm of that vector, and so is, to second order, the root of the divergence. Where k directions
 * carry the error equally, the squares of two such norms have the ratio F(k, k), which is beyond 4²
 * with probability 1.0 % for k = 4, 3.6e-4 for 8, 1.5e-5 for 12 and 6.3e-7 for 16. A model's last
 * hidden states over all positions of the prompts have hundreds to thousands of directions; models
 * of three layers and 12 to 64 columns were at most 1.9 times a draw's largest error and 2.1 times
 * its divergence in tests. So the bound is {@value #NORM} times for the largest difference and the
 * square of that for the divergence.
 *
 * @param positions compared
 * @param difference of the merged model from base and adapters
 * @param bound what it may be at most
 * @param effect of the adapters: what the base without them differs by
 */
public record MergeProof(
    int positions, LogitDifference difference, LogitDifference bound, LogitDifference effect) {
  /** How much larger one draw's norm may be than another's. */
  static final int NORM = 4;

  /** What the difference may be, where a second draw of rounding did so much. */
  static LogitDifference bound(LogitDifference dithered) {
    return new LogitDifference(NORM * dithered.max(), NORM * NORM * dithered.meanKl());
  }

  /** Whether the merged model is what it should be. */
  public boolean holds() {
    return difference.isWithin(bound);
  }

  /** Whether rounding changed the model more than the adapters did. */
  public boolean roundingHidesAdapters() {
    return difference.meanKl() > effect.meanKl();
  }
}
