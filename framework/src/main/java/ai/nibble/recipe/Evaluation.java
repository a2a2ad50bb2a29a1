package ai.nibble.recipe;

import ai.nibble.train.EndRules;
import java.util.Optional;

/**
 * When to evaluate. With rows to evaluate on and neither key given: at the end of the run.
 *
 * @param evalSteps optimizer steps between evaluations
 * @param evalsPerEpoch evaluations in each epoch
 * @param evalBatchSize rows computed at once
 * @param loadBestModelAtEnd whether the result is the saved step with the lowest loss
 * @param metricForBestModel what is compared
 * @param greaterIsBetter always false: a loss is better when it is lower
 * @param earlyStoppingPatience evaluations without a better loss after which the run ends
 * @param earlyStoppingThreshold a loss is better if it is lower by more than this
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
            value = "load_best_model_at_end",
            byDefault = "false",
            doc =
                "The result is the saved step with the lowest `eval_loss`, not the last; its"
                    + " checkpoint is kept beyond `save_total_limit`")
        boolean loadBestModelAtEnd,
    @Key(
            value = "metric_for_best_model",
            byDefault = "eval_loss",
            doc = "What makes a step the best, and counts for early stopping",
            means = @Key.Means(value = "loss", as = "eval_loss"),
            refuse =
                @Key.Refuse(
                    value = "(eval_)?(accuracy|f1|bleu|rouge.*|mean_token_accuracy|exact_match)",
                    why = "not supported yet: use eval_loss"))
        BestMetric metricForBestModel,
    @Key(
            value = "greater_is_better",
            byDefault = "false",
            doc = "Whether the metric is better when it is higher: `eval_loss` is not",
            refuse =
                @Key.Refuse(
                    value = "true|True|TRUE",
                    why = "wrong for eval_loss, which is better when it is lower: remove it"))
        boolean greaterIsBetter,
    @Key(
            value = "early_stopping_patience",
            byDefault = "null",
            range = "[1, 1e9]",
            doc = "Evaluations in a row without a better `eval_loss`, after which the run ends")
        Optional<Integer> earlyStoppingPatience,
    @Key(
            value = "early_stopping_threshold",
            byDefault = "0",
            range = "[0, inf)",
            doc = "An `eval_loss` is better if it is lower by more than this")
        double earlyStoppingThreshold,
    @Key(
            value = "generation_eval",
            byDefault = "null",
            doc = "Generate answers to held-out rows before and after training, and compare them")
        Optional<GenerationEval> generationEval) {

  /** What makes a step the best. */
  public enum BestMetric {
    /** The mean loss on the evaluation rows. */
    EVAL_LOSS
  }

  /** Whether the course of the run depends on its evaluations. */
  boolean decides() {
    return loadBestModelAtEnd || earlyStoppingPatience.isPresent();
  }

  EndRules endRules() {
    return new EndRules(
        loadBestModelAtEnd, earlyStoppingPatience.orElse(0), earlyStoppingThreshold);
  }
}
