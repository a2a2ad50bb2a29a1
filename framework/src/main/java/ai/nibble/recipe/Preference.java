package ai.nibble.recipe;

import ai.nibble.train.objective.FDivergence;
import java.util.List;

/**
 * How methods that learn from preferences weigh them; docs/preference.md has the formulas.
 *
 * @param lossType losses that are summed up
 * @param lossWeights one for each of these; empty: 1 for all
 * @param beta scale of the rewards
 * @param rpoAlpha what the chosen answers' cross-entropy weighs
 */
public record Preference(
    @Key(
            value = "loss_type",
            derived = "`kto` with `method: kto`, else `sigmoid`",
            atLeast = 1,
            doc =
                "The loss of `method: dpo`, or several whose sum is taken, and that of `kto` (`kto`,"
                    + " `apo_zero_unpaired`)",
            refuse = {
              @Key.Refuse(
                  value = "orpo|simpo|cpo",
                  why = "a method of its own: set method to it, and remove loss_type"),
              @Key.Refuse(
                  value = "kto_pair",
                  why =
                      "a method of its own: use method: kto on rows of type unpaired_preference,"
                          + " and remove loss_type"),
              @Key.Refuse(
                  value = "aot|aot_unpaired",
                  why =
                      "not supported: it sorts the pairs of a batch against one another, and here a"
                          + " step is the same however it is parted into micro-batches; the others"
                          + " are [sigmoid, hinge, ipo, exo_pair, nca_pair, robust, bco_pair,"
                          + " sppo_hard, apo_zero, apo_down, discopop, sigmoid_norm, sft]")
            })
        List<LossType> lossType,
    @Key(
            value = "loss_weights",
            byDefault = "[]",
            range = "[0, 1000]",
            repeats = true,
            doc = "What each loss of a list in `loss_type` is multiplied by; none: 1")
        List<Double> lossWeights,
    @Key(
            value = "f_divergence_type",
            byDefault = "reverse_kl",
            doc =
                "What holds `dpo`'s model to the reference: `reverse_kl`, `forward_kl`,"
                    + " `js_divergence`, `alpha_divergence`; others than the first with losses of"
                    + " the difference alone")
        FDivergence divergence,
    @Key(
            value = "f_alpha_divergence_coef",
            byDefault = "0.5",
            range = "[-1000, 1000]",
            doc = "α of `alpha_divergence`")
        double divergenceAlpha,
    @Key(
            value = "discopop_tau",
            byDefault = "0.05",
            range = "(0, 1000]",
            doc = "Temperature of `loss_type: discopop`")
        double discopopTau,
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
                "Share of pairs taken to be the wrong way round (`dpo` with `sigmoid`,"
                    + " `sigmoid_norm`, `robust` or `exo_pair`; `simpo`, `cpo`)")
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
            value = "ref_adapter",
            derived = "`start` with `lora_model_dir`, else `none`",
            doc =
                "What `dpo` and `kto` measure against: `start`, the model with its adapter as the"
                    + " run begins (a frozen copy); `none`, the base without an adapter",
            refuse =
                @Key.Refuse(
                    value = ".*[/\\\\].*",
                    why =
                        "not supported yet (another adapter than the one that training begins"
                            + " with): use start, the adapter of lora_model_dir, or none, the base"))
        RefAdapter refAdapter,
    @Key(
            value = "precompute_ref_log_probs",
            byDefault = "false",
            doc =
                "`dpo`, and `kto` with `apo_zero_unpaired`: ask the reference about every row once,"
                    + " before training, and not in every step; needed with `adapter: none`")
        boolean precomputeRefLogProbs) {

  public Preference {
    lossType = List.copyOf(lossType);
    lossWeights = List.copyOf(lossWeights);
  }

  /** The adapter that the reference has. */
  public enum RefAdapter {
    /** The trained one, as it is before the first step. */
    START,
    /** None: it is the base. */
    NONE
  }

  /** What a loss of the list is multiplied by; 0 where it is not in it. */
  double weight(LossType type) {
    int at = lossType.indexOf(type);
    return at < 0 ? 0 : lossWeights.isEmpty() ? 1 : lossWeights.get(at);
  }

  /** What the chosen answers' cross-entropy weighs in all. */
  double entropyWeight() {
    return rpoAlpha + weight(LossType.SFT);
  }

  /** Whether mismatched answers are made anew in every micro-batch, as KTO does. */
  boolean pairsWithOtherAnswers() {
    return lossType.contains(LossType.KTO);
  }
}
