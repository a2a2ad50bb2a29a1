package ai.nibble.recipe;

/**
 * The optimizer and its learning rate.
 *
 * @param maxGradNorm gradients of a larger global L2 norm are scaled down to it; 0: never
 * @param warmupSteps steps in which the learning rate rises from 0; 0 where {@code warmupRatio}
 *     says it
 * @param warmupRatio the same as a share of all steps, rounded up
 */
public record Optimization(
    @Key(
            value = "optimizer",
            byDefault = "adamw",
            doc = "The optimizer",
            means = @Key.Means(value = "adamw_(torch|torch_fused|hf|apex_fused)", as = "adamw"),
            refuse =
                @Key.Refuse(
                    value = ".*(8|32)bit|adafactor|sgd|lion|muon|galore_.*|ademamix|rmsprop",
                    why = "not supported yet: use adamw"))
        OptimizerName optimizer,
    @Key(value = "learning_rate", range = "(0, 1]", doc = "The highest learning rate")
        double learningRate,
    @Key(
            value = "weight_decay",
            byDefault = "0",
            range = "[0, 10]",
            doc = "Decoupled weight decay of matrices; vectors (norms, biases) have none")
        double weightDecay,
    @Key(value = "adam_beta1", byDefault = "0.9", range = "[0, 1)", doc = "Decay of the mean")
        double adamBeta1,
    @Key(
            value = "adam_beta2",
            byDefault = "0.999",
            range = "[0, 1)",
            doc = "Decay of the mean square")
        double adamBeta2,
    @Key(
            value = "adam_epsilon",
            byDefault = "1e-8",
            range = "(0, 1]",
            doc = "Added to the root of the mean square")
        double adamEpsilon,
    @Key(
            value = "max_grad_norm",
            byDefault = "1",
            range = "[0, inf)",
            doc = "Scale gradients of a larger norm down to it; 0: never")
        double maxGradNorm,
    @Key(
            value = "lr_scheduler",
            byDefault = "cosine",
            doc = "Course of the learning rate after warm-up",
            means = @Key.Means(value = "constant_with_warmup", as = "constant"),
            refuse =
                @Key.Refuse(
                    value =
                        "cosine_with_(restarts|min_lr)|polynomial|inverse_sqrt|reduce_lr_on_plateau"
                            + "|rex|one_cycle|warmup_stable_decay",
                    why = "not supported yet: use cosine, linear or constant"))
        LrScheduler lrScheduler,
    @Key(
            value = "warmup_steps",
            byDefault = "0",
            range = "[0, inf)",
            doc = "Steps in which the learning rate rises from 0")
        int warmupSteps,
    @Key(
            value = "warmup_ratio",
            byDefault = "0",
            range = "[0, 1]",
            doc = "The same as a share of all steps")
        double warmupRatio) {

  /** The optimizer. */
  public enum OptimizerName {
    ADAMW
  }

  /** Course of the learning rate after warm-up. */
  public enum LrScheduler {
    COSINE,
    LINEAR,
    CONSTANT
  }
}
