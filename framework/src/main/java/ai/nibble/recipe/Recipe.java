package ai.nibble.recipe;

import java.nio.file.Path;
import java.util.List;
import java.util.Map;

/**
 * All that a run needs to know: immutable, complete (defaults filled in) and checked.
 *
 * <p>Two recipes are equal if their settings are, wherever these were written.
 *
 * @param baseModel a directory with {@code config.json} and safetensors, or a {@code .gguf} file;
 *     absolute
 * @param seed of adapter initialisation, shuffling and dropout
 * @param provenance where each setting was written
 */
public record Recipe(
    @Key(
            value = "base_model",
            doc =
                "The model to fine-tune: a directory with config.json and safetensors, or a .gguf")
        Path baseModel,
    @Key(
            value = "method",
            byDefault = "sft",
            doc = "What is trained towards: `sft`, supervised fine-tuning",
            refuse =
                @Key.Refuse(
                    value = "pretrain|pt|dpo|ipo|kto|orpo|simpo|grpo|ppo|rm|reward|cpt",
                    why = "not supported yet: what is supported is [sft]"))
        Method method,
    @Key(
            value = "adapter",
            byDefault = "qlora",
            doc = "`qlora`: LoRA on a 4-bit base; `lora`: on the base as it is",
            refuse =
                @Key.Refuse(
                    value = "none|full|freeze",
                    why = "not supported yet (training all weights): use qlora or lora"))
        Adapter adapter,
    Quantization quantization,
    @Key(
            value = "device_map",
            byDefault = "auto",
            doc = "Where to compute: `auto` takes the best device that is supported",
            refuse =
                @Key.Refuse(
                    value = "(cuda|gpu|mps|xpu|npu)(:\\d+)?",
                    why = "not supported yet: this version computes on the CPU; use auto or cpu"))
        DeviceMap deviceMap,
    Lora lora,
    Data data,
    Training training,
    Optimization optimization,
    Evaluation evaluation,
    Output output,
    @Key(
            value = "seed",
            byDefault = "42",
            range = "[0, inf)",
            doc = "Seed of adapter initialisation, shuffling and dropout")
        long seed,
    Provenance provenance) {

  /** What is trained towards. */
  public enum Method {
    SFT
  }

  /** What is trained. */
  public enum Adapter {
    QLORA,
    LORA
  }

  /** Where to compute. */
  public enum DeviceMap {
    AUTO,
    CPU
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
