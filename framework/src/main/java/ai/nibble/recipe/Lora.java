package ai.nibble.recipe;

import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.TargetModules;
import java.nio.file.Path;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * The low-rank adapters: {@code y = base(x) + scaling * B(A(dropout(x)))}, with {@code scaling =
 * alpha / r}, or {@code alpha / sqrt(r)} with {@code useRslora}.
 *
 * @param excludeModules of the modules that are targeted, those that get no adapter
 * @param rankPattern regular expression over a module's path, to its rank
 * @param alphaPattern regular expression over a module's path, to its alpha
 * @param layersToTransform indices of the layers that get adapters; empty: all
 */
public record Lora(
    @Key(value = "lora_r", byDefault = "16", range = "[1, 65536]", doc = "Rank of the adapters")
        int r,
    @Key(
            value = "lora_alpha",
            byDefault = "32",
            range = "(0, inf)",
            doc = "Strength of the adapters: they are scaled by alpha / r")
        double alpha,
    @Key(
            value = "lora_dropout",
            derived =
                "`0.05`; `0` with pissa and olora, and where `dpo` or `kto` begin with an adapter",
            range = "[0, 1)",
            doc = "Share of an adapter's inputs dropped in training")
        double dropout,
    @Key(
            value = "lora_target_modules",
            byDefault = "all-linear",
            doc = "Modules that get adapters: names, one regular expression, or `all-linear`",
            means = @Key.Means(value = "all|all_linear", as = "all-linear"))
        TargetModules targetModules,
    @Key(
            value = "exclude_modules",
            byDefault = "null",
            doc = "Modules that get none all the same: names, or one regular expression",
            refuse = @Key.Refuse(value = "all-linear", why = "no module's name: leave nothing out"))
        Optional<TargetModules> excludeModules,
    @Key(
            value = "use_rslora",
            byDefault = "false",
            doc = "Scale the adapters by alpha / sqrt(r) instead")
        boolean useRslora,
    @Key(
            value = "use_dora",
            byDefault = "false",
            doc = "Also train the norm of each adapted weight's rows (DoRA)")
        boolean useDora,
    @Key(
            value = "lora_modules_to_save",
            byDefault = "[]",
            doc = "Also trained, whole and in float32: `embed_tokens`, `lm_head`")
        List<String> modulesToSave,
    @Key(
            value = "trainable_token_indices",
            byDefault = "[]",
            doc =
                "Also trained: rows of the embedding, and of a tied head, of these token ids; `new`:"
                    + " of the tokens that the recipe adds, of embedding and head")
        TrainedTokenIds trainableTokenIndices,
    @Key(
            value = "init_lora_weights",
            byDefault = "true",
            doc =
                "How adapters begin: `true` (A uniform, B zero), `gaussian`, `orthogonal`; `pissa`,"
                    + " `pissa_niter_N` or `olora` (parts of the weight, taken back beside it);"
                    + " `loftq` (what 4 bits took from it)",
            refuse = {
              @Key.Refuse(
                  value = "(?i)eva|corda|lora_ga|mica",
                  why =
                      "not supported yet: use true, gaussian, orthogonal, pissa, pissa_niter_N,"
                          + " olora or loftq"),
              @Key.Refuse(
                  value = "(?i)false",
                  why = "PEFT's beginning for tests, which changes the model at random: use true")
            })
        InitLoraWeights initLoraWeights,
    @Key(value = "loftq_config", byDefault = "null", doc = "More about `init_lora_weights: loftq`")
        Optional<LoftqConfig> loftqConfig,
    @Key(
            value = "lora_model_dir",
            byDefault = "null",
            doc = "Begin with this adapter instead, which has the ranks, alphas and modules here")
        Optional<Path> modelDir,
    @Key(
            value = "loraplus_lr_ratio",
            byDefault = "1",
            range = "(0, 1000000]",
            doc = "The learning rate of B is that of A times this (LoRA+)")
        double loraPlusLrRatio,
    @Key(
            value = "rank_pattern",
            byDefault = "{}",
            regexNames = true,
            range = "[1, 65536]",
            doc = "Other ranks: regular expression over module paths, to rank")
        Map<String, Integer> rankPattern,
    @Key(
            value = "alpha_pattern",
            byDefault = "{}",
            regexNames = true,
            range = "(0, inf)",
            doc = "Other alphas: regular expression over module paths, to alpha")
        Map<String, Double> alphaPattern,
    @Key(
            value = "layers_to_transform",
            byDefault = "[]",
            range = "[0, inf)",
            doc = "Only these layers get adapters, counted from 0; empty: all")
        List<Integer> layersToTransform,
    @Key(
            value = "layers_pattern",
            byDefault = "[]",
            doc =
                "Names of the lists of modules that `layers_to_transform` counts in, such as"
                    + " `layers`; empty: any")
        List<String> layersPattern) {

  /** Copies, keeping the order: of the patterns that match, the first counts. */
  public Lora {
    rankPattern = Collections.unmodifiableMap(new LinkedHashMap<>(rankPattern));
    alphaPattern = Collections.unmodifiableMap(new LinkedHashMap<>(alphaPattern));
    modulesToSave = List.copyOf(modulesToSave);
    layersToTransform = List.copyOf(layersToTransform);
    layersPattern = List.copyOf(layersPattern);
  }

  /** Iterations of LoftQ; 0 where adapters begin otherwise. */
  int loftqIterations() {
    return initLoraWeights.kind() != InitLoraWeights.Kind.LOFTQ || modelDir.isPresent()
        ? 0
        : loftqConfig.map(LoftqConfig::iterations).orElse(1);
  }
}
