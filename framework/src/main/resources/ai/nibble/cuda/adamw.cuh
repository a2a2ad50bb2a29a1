// The arithmetic of AdamW, of optim/AdamWUpdate to the bit.

// The constants of one update, named as in AdamWConstants.
struct AdamW {
  float decay;
  float weight1;
  float beta2;
  float weight2;
  float correction2;
  float eps;
  float negativeStepSize;

  __device__ __forceinline__ void update(float &p, float g, float &m, float &v) const {
    m = weight1 < 0.5f ? fmaf(weight1, g - m, m) : fmaf(weight1 - 1.0f, g - m, g);
    v = fmaf(weight2 * g, g, v * beta2);
    float denominator = sqrtf(v) / correction2 + eps;
    p = p * decay + negativeStepSize * m / denominator;
  }
};
