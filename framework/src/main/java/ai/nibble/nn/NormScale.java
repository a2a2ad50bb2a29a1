package ai.nibble.nn;

import ai.nibble.cuda.NormRule;

/** How the weight of a {@link RmsNorm} meets the normalised value of a bfloat16 row. */
public enum NormScale {
  /** The value is rounded, then multiplied by the weight (Llama, Mistral, Qwen, Phi 3). */
  ROUNDED,
  /** Multiplied by the weight in float32 (OLMo 2). */
  EXACT,
  /** Multiplied by {@code 1 + weight} in float32: a weight of zeros is none (Gemma). */
  OFFSET;

  /** What is multiplied by, for the weight's values, which are overwritten. */
  float[] factors(float[] weight) {
    for (int c = 0; c < weight.length && this == OFFSET; c++) {
      weight[c] += 1;
    }
    return weight;
  }

  /** The same for kernels. */
  NormRule rule(double eps) {
    return new NormRule((float) eps, this == ROUNDED, this == OFFSET ? 1 : 0);
  }
}
