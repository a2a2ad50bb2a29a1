package ai.nibble.recipe;

import ai.nibble.data.ExtendedBases;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * All that a run needs to know: immutable, complete (defaults filled in) and checked.
 *
 * <p>Two recipes are equal if their settings are, wherever these were written.
 *
 * @param baseModel a directory with {@code config.json} and safetensors, or a {@code .gguf} file;
 *     with {@code init: random} a directory with {@code config.json}; absolute, of a base on the
 *     hub its snapshot in the cache
 * @param revision of a base on the hub, as it was asked for
 * @param seed of initialisation, shuffling and dropout
 * @param provenance where each setting was written
 */
public record Recipe(
    @Key(
            value = "base_model",
            doc =
                "The model to train: a directory with config.json and safetensors, a .gguf, or an"
                    + " id on the Hugging Face hub (`org/name`, `org/name/file.gguf`, `@revision`)")
        Path baseModel,
    @Key(
            value = "revision",
            byDefault = "null",
            doc = "Of a base on the hub: a branch, a tag or a commit; without it `main`")
        Optional<String> revision,
    @Key(
            value = "init",
            byDefault = "pretrained",
            doc =
                "First weights: the base's, or `random` by its config.json, for training from"
                    + " scratch")
        Init init,
    @Key(
            value = "method",
            byDefault = "sft",
            doc =
                "What is trained towards: `sft`, the trained roles' turns; `pretrain`, every token;"
                    + " `dpo`, `orpo`, `simpo`, `cpo`, the better of two answers; `kto`, answers that"
                    + " are good, not those that are bad (docs/preference.md)",
            means = @Key.Means(value = "pt|cpt", as = "pretrain"),
            refuse = {
              @Key.Refuse(
                  value = "ipo",
                  why = "a loss of another method: use method: dpo with loss_type: ipo"),
              @Key.Refuse(
                  value = "grpo|ppo|rm|reward",
                  why =
                      "not supported yet: what is supported is [sft, pretrain, dpo, orpo, kto,"
                          + " simpo, cpo]")
            })
        Method method,
    @Key(
            value = "adapter",
            byDefault = "qlora",
            doc =
                "`qlora`: LoRA on a 4-bit base; `lora`: on the base as it is; `none`: all weights"
                    + " are trained",
            means = @Key.Means(value = "full", as = "none"),
            refuse =
                @Key.Refuse(
                    value = "freeze",
                    why = "not supported yet (training some layers): use qlora, lora or none"))
        Adapter adapter,
    Quantization quantization,
    @Key(
            value = "device_map",
            byDefault = "auto",
            doc =
                "Where to compute: `auto`, the first NVIDIA GPU with room for all, else the GPUs in"
                    + " their order, then the CPU; one device (`cpu`, `cuda`, `cuda:1`); or a map"
                    + " from module path to device (docs/gpu.md)",
            means = {
              @Key.Means(value = "sequential", as = "auto"),
              @Key.Means(value = "gpu|gpu:0", as = "cuda")
            },
            refuse =
                @Key.Refuse(
                    value = "balanced|balanced_low_0",
                    why =
                        "not supported: use auto, which fills the GPUs in their order, or name a"
                            + " device for each module"))
        DeviceMap deviceMap,
    @Key(
            value = "max_memory",
            byDefault = "{}",
            doc =
                "With `device_map: auto`, the most memory to take of each device, such as"
                    + " `{cuda:0: 20GiB, cpu: 60GiB}`; devices left out are not used")
        MaxMemory maxMemory,
    Lora lora,
    Vocabulary vocabulary,
    Data data,
    Preference preference,
    Training training,
    Optimization optimization,
    Evaluation evaluation,
    Watchdog watchdog,
    Output output,
    @Key(
            value = "seed",
            byDefault = "42",
            range = "[0, inf)",
            doc = "Seed of initialisation, shuffling and dropout")
        long seed,
    Provenance provenance) {

  /** First weights. */
  public enum Init {
    /** Those of the base. */
    PRETRAINED,
    /** Drawn as its {@code config.json} says; its weights, if it has any, are ignored. */
    RANDOM
  }

  /** What is trained towards. */
  public enum Method {
    /** The turns of the trained roles, completions, and text. */
    SFT,
    /** Every token of every row. */
    PRETRAIN,
    /** Pairs of answers, against a reference. */
    DPO,
    /** Pairs of answers by their odds, and the chosen ones. */
    ORPO,
    /** Answers that are good or bad, against a reference. */
    KTO,
    /** Pairs of answers by their mean log-probabilities. */
    SIMPO,
    /** Pairs of answers, and the chosen ones. */
    CPO;

    /** The type of rows that it takes, of {@code KTO} in the end; null: any without preferences. */
    Dataset.RowType rows() {
      return switch (this) {
        case SFT, PRETRAIN -> null;
        case KTO -> Dataset.RowType.UNPAIRED_PREFERENCE;
        case DPO, ORPO, SIMPO, CPO -> Dataset.RowType.PREFERENCE;
      };
    }

    /** Whether its rows are pairs of answers. */
    public boolean comparesAnswers() {
      return rows() == Dataset.RowType.PREFERENCE;
    }

    /** Whether it measures the model against a reference. */
    boolean hasReference() {
      return this == DPO || this == KTO;
    }

    /** Whether its rows hold answers that are judged. */
    boolean learnsFromPreferences() {
      return rows() != null;
    }
  }

  /** What is trained. */
  public enum Adapter {
    QLORA,
    LORA,
    /** All weights, in float32. */
    NONE
  }

  /**
   * Where weights, configuration and tokenizer are read: the base, or what stands for it with the
   * tokens that this recipe adds.
   */
  Path base() {
    return vocabulary.isEmpty() ? baseModel : ExtendedBases.of(baseModel, vocabulary.newTokens());
  }

  /** One line for each thing that was read otherwise than written, or that has no effect. */
  public List<String> notices() {
    return provenance.notices();
  }

  /**
   * Where a key's value stands, for messages of later checks: {@code recipes/a.yaml:6:8}, {@code
   * --set lora_r=8}, or the recipe's file for a default.
   *
   * @param key a full name, for example {@code lora_target_modules} or {@code datasets.0.path}
   */
  public String where(String key) {
    return provenance.where(key);
  }

  /** This recipe as YAML, all keys, paths absolute: it loads back to an equal recipe. */
  public String resolvedYaml() {
    return YamlWriter.document((Map<?, ?>) Schema.RECIPE.write(this));
  }
}
