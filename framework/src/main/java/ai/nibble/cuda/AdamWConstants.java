package ai.nibble.cuda;

/**
 * The constants of one AdamW update, each computed in double and rounded once to float32.
 *
 * @param decay {@code 1 − lr·weightDecay}
 * @param weight1 {@code 1 − beta1}
 * @param beta2 decay of the second moment
 * @param weight2 {@code 1 − beta2}
 * @param correction2 {@code √(1 − beta2^t)}
 * @param eps added to the denominator
 * @param negativeStepSize {@code −lr / (1 − beta1^t)}
 */
public record AdamWConstants(
    float decay,
    float weight1,
    float beta2,
    float weight2,
    float correction2,
    float eps,
    float negativeStepSize) {}
