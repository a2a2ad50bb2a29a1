package ai.nibble.recipe;

import java.util.Optional;

/**
 * When to evaluate. With rows to evaluate on and neither key given: at the end of the run.
 *
 * @param evalSteps optimizer steps between evaluations
 * @param evalsPerEpoch evaluations in each epoch
 * @param evalBatchSize rows computed at once
 * @param generationEval rows whose answers are generated before and after training
 */
public record Evaluation(
    @Key(
            value = "eval_steps",
            byDefault = "null",
            range = "[1, inf)",
            doc = "Optimizer steps between evaluations; without it: at the end")
        Optional<Integer> evalSteps,
    @Key(
            value = "evals_per_epoch",
            byDefault = "null",
            range = "[1, inf)",
            doc = "Evaluations in each epoch, instead of `eval_steps`")
        Optional<Integer> evalsPerEpoch,
    @Key(
            value = "eval_batch_size",
            derived = "as `micro_batch_size`",
            range = "[1, 65536]",
            doc = "Rows computed at once in evaluation")
        int evalBatchSize,
    @Key(
            value = "generation_eval",
            byDefault = "null",
            doc = "Generate answers to held-out rows before and after training, and compare them")
        Optional<GenerationEval> generationEval) {}
