package ai.nibble.export.merge;

/**
 * That a merged model computes what its base and adapters do, on sample prompts and in float32.
 *
 * <p>The two differ by the rounding of the merged weights to the output's dtype, and by the order
 * in which float32 sums are taken. What the first does to logits depends on the model, so it is
 * measured: the merged model is computed once more with every rounded weight moved at random within
 * half a unit in the last place. That is a second draw of the same kind of error, and as large. The
 * bound is {@value #DRAWS} times its largest difference, room for two such maxima to differ, and
 * the square of that for the divergence, which is quadratic in the logits' error. The second adds
 * at most {@code 4 · 2⁻²⁴ · √(K · P) · max|logit|} where a sum has up to K terms and P products
 * follow each other, and half its square to the divergence (Hoeffding's lemma: {@code KL ≤ d²/2}
 * where logits differ by at most d). A wrong scaling, base or tensor is off by the size of the
 * adapter's effect, which is printed beside.
 *
 * @param positions compared
 * @param difference of the merged model from base and adapters
 * @param bound what it may be at most
 * @param effect of the adapters: what the base without them differs by
 * @param dithered what the second rounding did; zeros for float32, which needs none
 */
public record MergeProof(
    int positions,
    LogitDifference difference,
    LogitDifference bound,
    LogitDifference effect,
    LogitDifference dithered) {
  /** How much larger one draw's largest error may be than another's. */
  static final int DRAWS = 4;

  private static final double FLOAT32_UNIT = 0x1p-24;

  /** What the difference may be. */
  static LogitDifference bound(
      LogitDifference dithered, double largestLogit, long terms, long products) {
    double sums = 4 * FLOAT32_UNIT * Math.sqrt((double) terms * products) * largestLogit;
    return new LogitDifference(
        DRAWS * dithered.max() + sums, DRAWS * DRAWS * dithered.meanKl() + sums * sums / 2);
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
