package ai.nibble.optim;

import ai.nibble.cuda.AdamWConstants;

/**
 * The constants of one AdamW update and its arithmetic over plain arrays, in two forms.
 *
 * <p>{@link #reference} is the definition, tensor operation by tensor operation in PyTorch's order
 * ({@code torch.optim.AdamW}, single-tensor): constants are computed in double and rounded once to
 * float32, every operation rounds to float32, and a product feeding a sum is fused where PyTorch's
 * AVX2 kernels fuse it. {@link #fused} is one pass over the same operations; both give the same
 * bits.
 */
record AdamWUpdate(AdamWConstants constants) {
  /**
   * @param step this update's number, from 1
   */
  static AdamWUpdate of(AdamWConfig config, double weightDecay, double lr, long step) {
    return new AdamWUpdate(
        new AdamWConstants(
            (float) (1 - lr * weightDecay),
            (float) (1 - config.beta1()),
            (float) config.beta2(),
            (float) (1 - config.beta2()),
            (float) Math.sqrt(1 - StrictMath.pow(config.beta2(), step)),
            (float) config.eps(),
            (float) -(lr / (1 - StrictMath.pow(config.beta1(), step)))));
  }

  /**
   * The update in separate passes, one for each of PyTorch's operations. All arrays equally long.
   */
  void reference(float[] param, float[] grad, float[] m, float[] v) {
    AdamWConstants c = constants;
    int n = param.length;
    for (int i = 0; i < n; i++) { // param.mul_(1 - lr * weight_decay)
      param[i] = param[i] * c.decay();
    }
    for (int i = 0; i < n; i++) { // exp_avg.lerp_(grad, 1 - beta1), which has two branches
      m[i] =
          c.weight1() < 0.5f
              ? Math.fma(c.weight1(), grad[i] - m[i], m[i])
              : Math.fma(c.weight1() - 1, grad[i] - m[i], grad[i]);
    }
    for (int i = 0; i < n; i++) { // exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
      v[i] = v[i] * c.beta2();
      v[i] = Math.fma(c.weight2() * grad[i], grad[i], v[i]);
    }
    for (int i = 0; i < n; i++) { // denom = (exp_avg_sq.sqrt() / sqrt(1 - beta2^t)).add_(eps)
      float denominator = (float) Math.sqrt(v[i]) / c.correction2() + c.eps();
      // param.addcdiv_(exp_avg, denom, value=-step_size)
      param[i] = param[i] + c.negativeStepSize() * m[i] / denominator;
    }
  }

  /** The same in one pass over the first {@code n} elements. */
  void fused(float[] param, float[] grad, float[] m, float[] v, int n) {
    AdamWConstants c = constants;
    if (c.weight1() < 0.5f) {
      for (int i = 0; i < n; i++) {
        float g = grad[i];
        float m1 = Math.fma(c.weight1(), g - m[i], m[i]);
        float v1 = Math.fma(c.weight2() * g, g, v[i] * c.beta2());
        m[i] = m1;
        v[i] = v1;
        float denominator = (float) Math.sqrt(v1) / c.correction2() + c.eps();
        param[i] = param[i] * c.decay() + c.negativeStepSize() * m1 / denominator;
      }
    } else {
      for (int i = 0; i < n; i++) {
        float g = grad[i];
        float m1 = Math.fma(c.weight1() - 1, g - m[i], g);
        float v1 = Math.fma(c.weight2() * g, g, v[i] * c.beta2());
        m[i] = m1;
        v[i] = v1;
        float denominator = (float) Math.sqrt(v1) / c.correction2() + c.eps();
        param[i] = param[i] * c.decay() + c.negativeStepSize() * m1 / denominator;
      }
    }
  }
}
