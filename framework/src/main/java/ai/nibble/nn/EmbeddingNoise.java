package ai.nibble.nn;

import static ai.nibble.SplitMix64.GOLDEN_GAMMA;
import static ai.nibble.SplitMix64.mix;

import ai.nibble.cuda.ElementwiseKernels;
import ai.nibble.tensor.Parallel;
import ai.nibble.tensor.Rows;
import ai.nibble.tensor.Tensor;

/**
 * NEFTune (Jain et al. 2023): noise on the embeddings of a training pass, uniform on ±alpha/√(L·h)
 * for a sequence of L tokens and a hidden size h. As with {@link Dropout} a hash of the pass's key
 * and the element's index decides it, so that a run that is resumed goes on with the same noise.
 */
final class EmbeddingNoise {
  /** Apart from the keys of dropout, whose layers count from 0. */
  private static final int LAYER = -2;

  /** 2⁻²³: a hash's upper 24 bits are whole numbers from 0 to 2²⁴ − 1. */
  private static final float UNIT = 0x1p-23f;

  private EmbeddingNoise() {}

  /**
   * Adds the noise.
   *
   * @param rows {@code [N, h]} in the compute dtype, a row for each of the pass's tokens
   */
  static void add(Tensor rows, Pass pass) {
    int width = (int) rows.size(1);
    float[] bounds = bounds(pass, width);
    long key = Dropout.key(pass.dropoutKey(), LAYER);
    if (Kernels.serve(rows)) {
      try (Tensor ofTokens = Tensor.of(rows.device(), bounds, bounds.length)) {
        ElementwiseKernels.addNoise(rows, ofTokens, key);
      }
      return;
    }
    Parallel.forRanges(
        rows.size(0),
        Rows.grain(width),
        (begin, end) -> {
          try (Rows window = Rows.updating(rows, begin, end)) {
            float[] row = new float[width];
            for (long r = begin; r < end; r++) {
              window.load(r, row);
              for (int c = 0; c < width; c++) {
                row[c] += bounds[(int) r] * uniform(key, r * width + c);
              }
              window.store(r, row);
            }
          }
        });
  }

  /** On [−1, 1), of 2²⁴ values. */
  static float uniform(long key, long index) {
    long bits = mix(key + GOLDEN_GAMMA * (index + 1));
    return (bits >>> 40) * UNIT - 1;
  }

  /** The bound of each token. */
  private static float[] bounds(Pass pass, int width) {
    float[] bounds = new float[pass.tokens()];
    for (int s = 0; s < pass.sequences(); s++) {
      int begin = pass.sequenceStarts()[s];
      int end = pass.sequenceStarts()[s + 1];
      float bound = (float) (pass.embeddingNoise() / Math.sqrt((double) (end - begin) * width));
      for (int t = begin; t < end; t++) {
        bounds[t] = bound;
      }
    }
    return bounds;
  }
}
