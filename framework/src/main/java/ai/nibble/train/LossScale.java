package ai.nibble.train;

import ai.nibble.checkpoint.PartState;
import ai.nibble.nn.Precision;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Ops;
import ai.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;

/**
 * Dynamic loss scaling (Micikevicius et al. 2018, section 3.2), which keeps the gradients of
 * float16 activations above what float16 rounds to zero: the loss that is differentiated is the
 * scale times as large, and the parameters' gradients, float32, are divided by it. Other dtypes
 * have float32's range, and the scale stays 1.
 *
 * <p>As {@code torch.amp.GradScaler}: it begins at 65536; a step whose gradients are not finite is
 * not applied, and halves it; {@value #GROWTH_STEPS} applied steps in a row double it. It is a
 * power of two, so that nothing is rounded. Unlike there it does not fall below 1: gradients that
 * overflow then would without scaling.
 */
public final class LossScale {
  /** Name of what a checkpoint holds of it. */
  static final String PART = "loss_scale";

  private static final float INITIAL = 65536;
  private static final float LEAST = 1;
  private static final int GROWTH_STEPS = 2000;

  private final boolean dynamic;
  private float value;
  private int clean;
  private int skipped;

  private LossScale(boolean dynamic) {
    this.dynamic = dynamic;
    this.value = dynamic ? INITIAL : 1;
  }

  /** The scaling that a computation needs. */
  static LossScale of(Precision precision) {
    return new LossScale(precision.compute() == DType.FLOAT16);
  }

  /** What the loss is multiplied by, 1 or more. */
  public float value() {
    return value;
  }

  /** Steps that were not applied because gradients overflowed. */
  public int skipped() {
    return skipped;
  }

  /** Whether a step's gradients may overflow and another be tried at a smaller scale. */
  boolean isDynamic() {
    return dynamic;
  }

  /** Whether it cannot fall further. */
  boolean isLeast() {
    return value <= LEAST;
  }

  /**
   * Divides gradients by the scale, in place.
   *
   * @param grads float32
   */
  void unscale(Tensor grads) {
    if (value != 1) {
      try (Tensor inverse = Tensor.of(grads.device(), new float[] {1 / value}, 1)) {
        Ops.mul(grads, grads, inverse);
      }
    }
  }

  /** A step was applied. */
  void applied() {
    clean++;
    if (dynamic && clean == GROWTH_STEPS) {
      value *= 2;
      clean = 0;
    }
  }

  /** A step's gradients were not finite. */
  void overflowed() {
    value = Math.max(LEAST, value / 2);
    clean = 0;
    skipped++;
  }

  PartState state() {
    return new PartState(
        Map.of(
            "value", List.of((double) value),
            "clean", List.of((double) clean),
            "skipped", List.of((double) skipped)));
  }

  void restore(PartState saved) {
    if (dynamic) {
      value = (float) saved.number("value", INITIAL);
      clean = saved.count("clean");
      skipped = saved.count("skipped");
    }
  }
}
