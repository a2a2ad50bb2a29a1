package ai.nibble.recipe;

import ai.nibble.train.objective.DirectPreference.LossType;

/**
 * How methods that learn from preferences weigh them; docs/preference.md has the formulas.
 *
 * @param beta scale of the rewards
 * @param rpoAlpha what the chosen answers' cross-entropy weighs
 */
public record Preference(
    @Key(
            value = "loss_type",
            byDefault = "sigmoid",
            doc =
                "The loss of `method: dpo`: `sigmoid`, `hinge`, `ipo` (by tokens, as TRL has it),"
                    + " `robust` (unbiased with `label_smoothing`)",
            refuse = {
              @Key.Refuse(
                  value = "orpo|simpo|cpo|kto|kto_pair",
                  why = "a method of its own: set method to it, and remove loss_type"),
              @Key.Refuse(
                  value =
                      "exo_pair|nca_pair|bco_pair|sppo_hard|aot|aot_unpaired|apo_zero|apo_down"
                          + "|apo_zero_unpaired|discopop|sft|sigmoid_norm",
                  why = "not supported yet: what is supported is [sigmoid, hinge, ipo, robust]")
            })
        LossType lossType,
    @Key(
            value = "beta",
            derived = "`2` with `method: simpo`, else `0.1`",
            range = "(0, 1000]",
            doc =
                "Scale of the rewards: how strongly `dpo` and `kto` hold the model to the reference;"
                    + " what the odds ratio weighs in `orpo`")
        double beta,
    @Key(
            value = "label_smoothing",
            byDefault = "0",
            range = "[0, 0.5)",
            doc =
                "Share of pairs taken to be the wrong way round (`dpo` with `sigmoid` or `robust`,"
                    + " `simpo`, `cpo`)")
        double labelSmoothing,
    @Key(
            value = "simpo_gamma",
            byDefault = "0.5",
            range = "[0, 1000]",
            doc = "By how much `simpo` wants the chosen answer's reward to be the larger")
        double simpoGamma,
    @Key(
            value = "rpo_alpha",
            derived = "`1` with `method: cpo`, else `0`",
            range = "[0, 1000]",
            doc =
                "Weight of the chosen answers' cross-entropy beside the loss of pairs (`dpo`,"
                    + " `simpo`, `cpo`; in `orpo` it is 1)")
        double rpoAlpha,
    @Key(
            value = "desirable_weight",
            byDefault = "1",
            range = "(0, 1000]",
            doc = "Weight of good answers (`kto`)")
        double desirableWeight,
    @Key(
            value = "undesirable_weight",
            byDefault = "1",
            range = "(0, 1000]",
            doc = "Weight of bad answers (`kto`)")
        double undesirableWeight,
    @Key(
            value = "precompute_ref_log_probs",
            byDefault = "false",
            doc =
                "`dpo`: ask the reference about every row once, before training, and not in every"
                    + " step; needed with `adapter: none`")
        boolean precomputeRefLogProbs) {}
