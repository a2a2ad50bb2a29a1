package ai.nibble.recipe;

import java.util.Optional;

/**
 * The optimizer and its learning rate.
 *
 * @param maxGradNorm gradients of a larger global L2 norm are scaled down to it; 0: never
 * @param warmupSteps steps in which the learning rate rises from 0; 0 where {@code warmupRatio}
 *     says it
 * @param momentum of the optimizers that have one
 * @param lrSchedulerKwargs empty: the schedule's defaults
 * @param warmupRatio the same as a share of all steps, rounded up
 */
public record Optimization(
    @Key(
            value = "optimizer",
            byDefault = "adamw",
            doc =
                "What turns gradients into steps: `adamw`; `adamw_8bit`, with a quarter of its"
                    + " memory; `paged_adamw_32bit`, `paged_adamw_8bit`, whose memory leaves a GPU"
                    + " between steps where room is needed; `lion`, `sgd`, `adafactor`, `muon`",
            means = {
              @Key.Means(value = "adamw_(torch|torch_fused|hf|apex_fused|32bit)", as = "adamw"),
              @Key.Means(value = "adamw_bnb_8bit|adamw_torch_8bit", as = "adamw_8bit"),
              @Key.Means(value = "paged_adamw", as = "paged_adamw_32bit"),
              @Key.Means(value = "lion_32bit", as = "lion")
            },
            refuse = {
              @Key.Refuse(
                  value = "paged_(lion|ademamix|adagrad|rmsprop|sgd)(_.*)?",
                  why =
                      "not supported yet, only AdamW's memory is paged: use paged_adamw_32bit,"
                          + " paged_adamw_8bit, or the same optimizer without 'paged_'"),
              @Key.Refuse(
                  value =
                      "(?!lion_32bit$)(lion|lamb|lars|adagrad|ademamix|rmsprop)(_bnb)?_(8|32)bit"
                          + "|(galore|apollo|stable|schedule_free)_.*|adamw_torch_4bit"
                          + "|adamw_anyprecision|ademamix|rmsprop(_bnb)?|adagrad|(ada)?lomo|grokadamw",
                  why = "not supported yet: use adamw or adamw_8bit")
            })
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
            derived = "0.99 with `lion`, else 0.999",
            range = "[0, 1)",
            doc = "Decay of the mean square; with `lion`, of the mean")
        double adamBeta2,
    @Key(
            value = "adam_epsilon",
            byDefault = "1e-8",
            range = "(0, 1]",
            doc = "Added to the root of the mean square")
        double adamEpsilon,
    @Key(
            value = "momentum",
            derived = "0.95 with `muon`, else 0",
            range = "[0, 1)",
            doc = "Share of the last step's direction that `sgd` and `muon` keep")
        double momentum,
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
            means = {
              @Key.Means(value = "constant_with_warmup", as = "constant"),
              @Key.Means(value = "wsd", as = "warmup_stable_decay")
            },
            refuse =
                @Key.Refuse(
                    value = "cosine_with_min_lr|reduce_lr_on_plateau|rex|one_cycle|greedy",
                    why = "not supported yet: use one of the others"))
        LrScheduler lrScheduler,
    @Key(
            value = "lr_scheduler_kwargs",
            byDefault = "null",
            doc = "More about the course of the learning rate")
        Optional<SchedulerKwargs> lrSchedulerKwargs,
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
    ADAMW,
    ADAMW_8BIT,
    PAGED_ADAMW_32BIT,
    PAGED_ADAMW_8BIT,
    SGD,
    LION,
    ADAFACTOR,
    MUON
  }

  /** Course of the learning rate after warm-up. */
  public enum LrScheduler {
    COSINE,
    LINEAR,
    CONSTANT,
    COSINE_WITH_RESTARTS,
    POLYNOMIAL,
    INVERSE_SQRT,
    WARMUP_STABLE_DECAY
  }
}
