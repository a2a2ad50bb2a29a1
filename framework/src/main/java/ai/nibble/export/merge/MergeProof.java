package ai.nibble.export.merge;

/**
 * That a merged model computes what its base and adapters do, on sample prompts and in float32.
 *
 * <p>The two differ by the rounding of the merged weights to the output's dtype, and by the order
 * in which float32 sums are taken. What that does to logits depends on the model, so it is
 * measured: the merged model is computed once more with its weights moved at random by as much
 * ({@link DitheredWeights}), a second draw of the same kind of error. The bound is {@value #MAXIMA}
 * times what that draw did to the largest logit difference, as the maxima of two draws differ by
 * what a single position happens to do, and {@value #MEANS} times for the divergence, a mean over
 * positions: it is quadratic in the logits' error, so that is a factor of 4 there. A wrong scaling,
 * base or tensor is off by the size of the adapter's effect, which is printed beside.
 *
 * @param positions compared
 * @param difference of the merged model from base and adapters
 * @param bound what it may be at most
 * @param effect of the adapters: what the base without them differs by
 */
public record MergeProof(
    int positions, LogitDifference difference, LogitDifference bound, LogitDifference effect) {
  /** How much larger one draw's largest error may be than another's. */
  static final int MAXIMA = 8;

  /** How much larger one draw's mean divergence may be than another's. */
  static final int MEANS = 16;

  /** What the difference may be, where a second draw of rounding did so much. */
  static LogitDifference bound(LogitDifference dithered) {
    return new LogitDifference(MAXIMA * dithered.max(), MEANS * dithered.meanKl());
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
