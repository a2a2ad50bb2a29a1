package ai.nibble.recipe;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/** Names that other tools give to our keys: Axolotl, TRL, PEFT, LLaMA-Factory, transformers. */
final class Aliases {
  /**
   * One such name.
   *
   * @param key ours
   * @param words what a value means, as {@code key: value}; empty where it changes nothing; any
   *     other value is the key's own
   * @param closed whether no other value is allowed
   */
  private record Alias(String name, String key, Map<String, String> words, boolean closed) {}

  private static final Map<String, Alias> ALL =
      List.of(
              rename("model_name_or_path", "base_model"),
              rename("revision_of_model", "revision"),
              rename("model_revision", "revision"),
              words("stage", "method", false, "pt", "method: pretrain"),
              rename("rl", "method"),
              words("finetuning_type", "adapter", false, "full", "adapter: none"),
              words(
                  "quantization_bit",
                  "load_in_4bit",
                  true,
                  "4",
                  "load_in_4bit: true",
                  "8",
                  "load_in_8bit: true"),
              rename("quantization_type", "bnb_4bit_quant_type"),
              rename("double_quantization", "bnb_4bit_use_double_quant"),
              rename("use_bnb_nested_quant", "bnb_4bit_use_double_quant"),
              rename("bnb_4bit_skip_modules", "llm_int8_skip_modules"),
              words(
                  "bf16",
                  "bnb_4bit_compute_dtype",
                  true,
                  "true",
                  "bnb_4bit_compute_dtype: bfloat16",
                  "auto",
                  "bnb_4bit_compute_dtype: auto",
                  "false",
                  ""),
              words(
                  "fp16",
                  "bnb_4bit_compute_dtype",
                  true,
                  "true",
                  "bnb_4bit_compute_dtype: float16",
                  "false",
                  ""),
              rename("lora_rank", "lora_r"),
              rename("lora_target", "lora_target_modules"),
              rename("target_modules", "lora_target_modules"),
              rename("adapter_name_or_path", "lora_model_dir"),
              rename("additional_target", "lora_modules_to_save"),
              rename("modules_to_save", "lora_modules_to_save"),
              rename("add_tokens", "tokens"),
              rename("new_special_tokens", "additional_special_tokens"),
              rename("add_special_tokens", "additional_special_tokens"),
              rename("peft_trainable_token_indices", "trainable_token_indices"),
              rename("peft_use_dora", "use_dora"),
              rename("peft_use_rslora", "use_rslora"),
              rename("peft_init_lora_weights", "init_lora_weights"),
              rename("peft_layers_to_transform", "layers_to_transform"),
              rename("peft_layers_pattern", "layers_pattern"),
              words(
                  "pissa_init",
                  "init_lora_weights",
                  true,
                  "true",
                  "init_lora_weights: pissa_niter_16",
                  "false",
                  ""),
              rename("neftune_alpha", "neftune_noise_alpha"),
              rename("train_on_prompt", "train_on_inputs"),
              opposite("assistant_only_loss", "train_on_inputs"),
              opposite("completion_only_loss", "train_on_inputs"),
              rename("cutoff_len", "sequence_len"),
              rename("max_length", "sequence_len"),
              rename("max_seq_length", "sequence_len"),
              rename("pref_loss", "loss_type"),
              rename("dpo_loss_type", "loss_type"),
              rename("dpo_loss_weights", "loss_weights"),
              rename("ref_model_adapters", "ref_adapter"),
              rename("dpo_use_weighting", "use_weighting"),
              rename("pref_beta", "beta"),
              rename("rl_beta", "beta"),
              rename("dpo_beta", "beta"),
              rename("orpo_alpha", "beta"),
              rename("dpo_label_smoothing", "label_smoothing"),
              rename("cpo_label_smoothing", "label_smoothing"),
              rename("pref_ftx", "rpo_alpha"),
              rename("cpo_alpha", "rpo_alpha"),
              rename("kto_desirable_weight", "desirable_weight"),
              rename("kto_chosen_weight", "desirable_weight"),
              rename("kto_undesirable_weight", "undesirable_weight"),
              rename("kto_rejected_weight", "undesirable_weight"),
              words(
                  "truncation_mode",
                  "excess_length_strategy",
                  true,
                  "keep_start",
                  "excess_length_strategy: truncate"),
              rename("dataset_processes", "dataset_num_proc"),
              rename("preprocessing_num_workers", "dataset_num_proc"),
              rename("tokenized_path", "dataset_prepared_path"),
              rename("packing", "sample_packing"),
              rename("per_device_train_batch_size", "micro_batch_size"),
              rename("per_device_eval_batch_size", "eval_batch_size"),
              rename("num_train_epochs", "num_epochs"),
              rename("optim", "optimizer"),
              rename("lr", "learning_rate"),
              rename("lr_scheduler_type", "lr_scheduler"),
              rename("enable_activation_checkpointing", "gradient_checkpointing"),
              offloading("activation_offloading"),
              offloading("enable_activation_offloading"),
              words(
                  "eval_strategy",
                  "evals_per_epoch",
                  true,
                  "epoch",
                  "evals_per_epoch: 1",
                  "steps",
                  "",
                  "no",
                  "evals_per_epoch: null"))
          .stream()
          .collect(Collectors.toMap(Alias::name, alias -> alias, (a, b) -> a, LinkedHashMap::new));

  private Aliases() {}

  private static Alias rename(String name, String key) {
    return new Alias(name, key, Map.of(), false);
  }

  private static Alias opposite(String name, String key) {
    return words(name, key, true, "true", key + ": false", "false", key + ": true");
  }

  private static Alias offloading(String name) {
    String key = "gradient_checkpointing";
    return words(name, key, true, "true", key + ": offload", "false", "");
  }

  private static Alias words(String name, String key, boolean closed, String... pairs) {
    Map<String, String> words = new LinkedHashMap<>();
    for (int i = 0; i < pairs.length; i += 2) {
      words.put(pairs[i], pairs[i + 1]);
    }
    return new Alias(name, key, words, closed);
  }

  static List<String> names() {
    return List.copyOf(ALL.keySet());
  }

  /** The other names of a key, for the table of keys. */
  static List<String> of(String key) {
    return ALL.values().stream().filter(a -> a.key.equals(key)).map(Alias::name).toList();
  }

  /** Our name for a key; the name itself where it is no alias. */
  static String canonical(String name) {
    return ALL.containsKey(name) ? ALL.get(name).key : name;
  }

  /** One file's keys under our names; two names for one key in the same file are a problem. */
  static Node.Fields resolve(Node.Fields fields, Reading at) {
    Map<String, Node.Field> resolved = new LinkedHashMap<>();
    Map<String, List<String>> writtenAs = new LinkedHashMap<>();
    fields
        .fields()
        .forEach(
            (name, field) -> {
              Alias alias = ALL.get(name);
              Optional<Map.Entry<String, Node>> ours =
                  alias == null
                      ? Optional.of(Map.entry(name, field.value()))
                      : convert(alias, field, at);
              ours.ifPresent(
                  entry -> {
                    String key = entry.getKey();
                    writtenAs.computeIfAbsent(key, k -> new ArrayList<>()).add(name);
                    Node.Field value = new Node.Field(field.keyAt(), entry.getValue());
                    Node.Field before = resolved.putIfAbsent(key, value);
                    if (before != null) {
                      String other = writtenAs.get(key).get(0);
                      String what =
                          "'" + name + "' and '" + other + "' (" + before.keyAt() + ") both set '";
                      at.problems().add(field.keyAt(), what + key + "': keep one");
                    }
                  });
            });
    return new Node.Fields(resolved, fields.at());
  }

  private static Optional<Map.Entry<String, Node>> convert(
      Alias alias, Node.Field field, Reading at) {
    String word = field.value() instanceof Node.Scalar s ? lower(s) : null;
    String meaning = word == null ? null : alias.words.get(word);
    Reading here = at.child(alias.name);
    if (meaning == null && alias.closed) {
      here.reject(
          field.value(), "one of " + alias.words.keySet() + "; here it is '" + alias.key + "'");
      return Optional.empty();
    }
    if (meaning == null) {
      at.notice(field.keyAt(), "'" + alias.name + "' is read as '" + alias.key + "'");
      return Optional.of(Map.entry(alias.key, field.value()));
    }
    String written = "'" + alias.name + ": " + word + "'";
    if (meaning.isEmpty()) {
      at.notice(field.keyAt(), written + " changes nothing");
      return Optional.empty();
    }
    at.notice(field.keyAt(), written + " is read as '" + meaning + "'");
    String[] keyAndValue = meaning.split(": ", 2);
    Node value = new Node.Scalar(keyAndValue[1], false, field.value().at());
    return Optional.of(Map.entry(keyAndValue[0], value));
  }

  /** {@code True} is {@code true}. */
  private static String lower(Node.Scalar scalar) {
    return scalar.kind() == ScalarKind.BOOLEAN
        ? scalar.text().toLowerCase(Locale.ROOT)
        : scalar.text();
  }
}
