package ai.nibble.recipe;

import ai.nibble.lora.InitLoraWeights;
import ai.nibble.model.Placement;
import ai.nibble.quant.Quant4Type;
import java.nio.file.Path;
import java.util.Collection;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/** What keys say together: contradictions are problems, words without effect are notices. */
final class Conflicts {
  private static final Optional<?> NONE = Optional.empty();

  /** What has no effect without rows to evaluate on. */
  private static final List<String> EVALUATING =
      List.of("eval_steps", "evals_per_epoch", "load_best_model_at_end", "early_stopping_patience");

  private final Map<String, Object> values;
  private final Reading at;
  private final Position whole;

  private Conflicts(Map<String, Object> values, Reading at, Position whole) {
    this.values = values;
    this.at = at;
    this.whole = whole;
  }

  /**
   * @param values the keys that could be read: a check that needs another one is left out
   * @param whole the recipe's file
   */
  static void check(Map<String, Object> values, Reading at, Position whole) {
    Conflicts conflicts = new Conflicts(values, at, whole);
    conflicts.contradictions();
    conflicts.withoutEffect();
    ScheduleConflicts.check(conflicts);
    PreferenceConflicts.check(conflicts, (Recipe.Method) values.get("method"));
  }

  private void contradictions() {
    if (is("adapter", Recipe.Adapter.QLORA) && is("load_in_4bit", false)) {
      problem(
          "load_in_4bit",
          "'load_in_4bit' is 'false', but adapter qlora trains on a 4-bit base: remove it, or use"
              + " adapter: lora");
    }
    if (is("adapter", Recipe.Adapter.NONE) && is("load_in_4bit", true)) {
      problem(
          "load_in_4bit",
          "'load_in_4bit' is 'true', but adapter none trains all weights, which 4 bits cannot hold:"
              + " remove it, or use adapter: qlora");
    }
    if (is("load_in_8bit", true)) {
      eightBits();
    }
    if (is("adapter", Recipe.Adapter.NONE) && is("allow_nonfinite_weights", true)) {
      problem(
          "allow_nonfinite_weights",
          "'allow_nonfinite_weights' is 'true', but adapter none trains all weights, which must be"
              + " numbers: remove it, or train an adapter");
    }
    if (is("adapter", Recipe.Adapter.NONE) && isSet("lora_model_dir")) {
      problem(
          "lora_model_dir",
          "'lora_model_dir' is an adapter to begin with, but adapter none trains all weights and"
              + " has none: merge it into the base before (nibble merge), or use adapter: lora or"
              + " qlora");
    }
    if (is("adapter", Recipe.Adapter.NONE)
        && values.get("keep_dequantized_layers") instanceof KeptDequantized kept
        && kept.asked(1) > 0) {
      problem(
          "keep_dequantized_layers",
          "'keep_dequantized_layers' is '"
              + kept
              + "', but adapter none trains all weights, of which none are quantised: remove it");
    }
    if (is("use_dora", true) && is("load_in_8bit", true)) {
      problem(
          "use_dora",
          "'use_dora' is 'true', which is not supported yet on a base in 8 bits: use load_in_4bit,"
              + " or neither");
    }
    if (values.get("init_lora_weights") instanceof InitLoraWeights init
        && !isSet("lora_model_dir")
        && isOtherThan("adapter", Recipe.Adapter.NONE)) {
      initialisation(init);
    }
    if (is("init", Recipe.Init.RANDOM) && isOtherThan("adapter", Recipe.Adapter.NONE)) {
      problem(
          "init",
          "'init' is 'random', but an adapter needs a trained base: use adapter: none, or init:"
              + " pretrained");
    }
    notBoth("warmup_steps", "warmup_ratio");
    notBoth("eval_steps", "evals_per_epoch");
    notBoth("save_steps", "saves_per_epoch");
    notBoth("test_datasets", "val_set_size");
    devices();
    if (is("sample_packing", true) && is("group_by_length", true)) {
      problem(
          "group_by_length",
          "'group_by_length' and 'sample_packing' ("
              + at.positions().getOrDefault("sample_packing", whole)
              + ") each say which rows come together: keep one");
    }
    if (is("method", Recipe.Method.SFT)
        && is("train_on_inputs", true)
        && !is("roles_to_train", List.of("assistant"))) {
      problem(
          "roles_to_train",
          "'roles_to_train' picks roles, but 'train_on_inputs' trains on every token: keep one");
    }
    if (values.get("dataset_prepared_path") instanceof PreparedPath prepared
        && values.get("output_dir") instanceof Path output
        && prepared.given().filter(path -> path.startsWith(output)).isPresent()) {
      problem(
          "dataset_prepared_path",
          "'dataset_prepared_path' is in 'output_dir', which holds what a run made and nothing"
              + " else: choose another");
    }
    bestAndEarlyStopping();
    for (String key : EVALUATING) {
      if (isSet(key) && is("test_datasets", List.of()) && is("val_set_size", new ValSetSize(0))) {
        problem(
            key, "'" + key + "' has nothing to evaluate on: add 'test_datasets' or 'val_set_size'");
      }
    }
  }

  /** A step's micro-batches are dealt out: each device needs one. */
  private void devices() {
    if (values.get("devices") instanceof Devices devices
        && values.get("gradient_accumulation_steps") instanceof Integer microBatches
        && devices.count() > microBatches) {
      problem(
          "devices",
          "'devices' is "
              + devices.count()
              + ", but a step has "
              + microBatches
              + (microBatches == 1 ? " micro-batch" : " micro-batches")
              + " to share out: set gradient_accumulation_steps to a multiple of it");
    }
    if (values.get("devices") instanceof Devices devices
        && devices.areChosen()
        && values.get("device_map") instanceof DeviceMap map
        && map.placement().filter(Placement::isSplit).isPresent()) {
      problem(
          "devices",
          "'devices' gives each device the whole model, but 'device_map' ("
              + at.positions().getOrDefault("device_map", whole)
              + ") divides it: keep one");
    }
  }

  private void initialisation(InitLoraWeights init) {
    if (init.kind() != InitLoraWeights.Kind.LOFTQ && isSet("loftq_config")) {
      notice("loftq_config", "'loftq_config' has no effect without 'init_lora_weights: loftq'");
    }
    if (init.kind() == InitLoraWeights.Kind.LOFTQ && is("load_in_4bit", false)) {
      problem(
          "init_lora_weights",
          "'init_lora_weights' is 'loftq', which makes up for 4 bits, but the base is not held in"
              + " them: use adapter: qlora, or another value");
    }
    if (init.isSubtracted()
        && values.get("lora_dropout") instanceof Double dropout
        && dropout > 0) {
      problem(
          "lora_dropout",
          "'lora_dropout' is '"
              + dropout
              + "', expected 0 with 'init_lora_weights: "
              + init.text()
              + "': what is dropped would be missing from the weight that the adapter began as a"
              + " part of");
    }
  }

  /** A run that looks at its evaluations needs some, and the best one a checkpoint. */
  private void bestAndEarlyStopping() {
    for (String key : List.of("load_best_model_at_end", "early_stopping_patience")) {
      if (isSet(key) && is("eval_steps", NONE) && is("evals_per_epoch", NONE)) {
        problem(key, "'" + key + "' needs evaluations on the way: set 'eval_steps'");
      }
    }
    if (!isSet("load_best_model_at_end")) {
      return;
    }
    if (is("save_steps", NONE) && is("saves_per_epoch", NONE)) {
      problem(
          "load_best_model_at_end",
          "'load_best_model_at_end' needs checkpoints: set 'save_steps', to a multiple of"
              + " 'eval_steps'");
    }
    if (values.get("save_steps") instanceof Optional<?> save
        && save.isPresent()
        && values.get("eval_steps") instanceof Optional<?> eval
        && eval.isPresent()
        && (Integer) save.get() % (Integer) eval.get() != 0) {
      problem(
          "save_steps",
          "'save_steps' is "
              + save.get()
              + ", expected a multiple of 'eval_steps', "
              + eval.get()
              + ", with 'load_best_model_at_end': a step can be the best only if it was evaluated");
    }
  }

  private void eightBits() {
    if (is("adapter", Recipe.Adapter.NONE)) {
      problem(
          "load_in_8bit",
          "'load_in_8bit' is 'true', but adapter none trains all weights, which 8 bits cannot hold:"
              + " remove it, or use adapter: lora");
    } else if (is("adapter", Recipe.Adapter.QLORA)) {
      problem(
          "load_in_8bit",
          "'load_in_8bit' is 'true', but adapter qlora trains on a 4-bit base: remove it, or use"
              + " adapter: lora");
    } else if (is("load_in_4bit", true)) {
      problem(
          "load_in_8bit",
          "'load_in_8bit' and 'load_in_4bit' ("
              + at.positions().getOrDefault("load_in_4bit", whole)
              + ") are both 'true': keep one");
    }
  }

  private void withoutEffect() {
    if (is("adapter", Recipe.Adapter.NONE)) {
      ignored(
          Schema.LORA.stream().filter(key -> !key.equals("lora_model_dir")).toList(),
          "adapter: none");
    }
    if (values.get("max_memory") instanceof MaxMemory most
        && !most.bytes().isEmpty()
        && isOtherThan("device_map", DeviceMap.AUTO)) {
      notice("max_memory", "'max_memory' has no effect: 'device_map' says where each module goes");
    }
    if (is("method", Recipe.Method.PRETRAIN)) {
      ignored(
          List.of("train_on_inputs", "roles_to_train", "train_on_eos"),
          "method: pretrain, which trains on every token");
    }
    if (isSet("lora_model_dir") && isOtherThan("init_lora_weights", InitLoraWeights.KAIMING)) {
      notice(
          "init_lora_weights", "'init_lora_weights' has no effect: 'lora_model_dir' has matrices");
    }
    if (isSet("lora_model_dir") && isSet("loftq_config")) {
      notice("loftq_config", "'loftq_config' has no effect: 'lora_model_dir' has matrices");
    }
    if (is("use_dora", true)
        && values.get("lora_dropout") instanceof Double dropout
        && dropout > 0) {
      notice(
          "lora_dropout",
          "'lora_dropout' above 0 makes 'use_dora' multiply by the base a second time: 0 is"
              + " faster");
    }
    if (isSet("max_steps") && values.get("num_epochs") instanceof Double epochs && epochs != 1) {
      notice("num_epochs", "'num_epochs' has no effect: 'max_steps' says when to stop");
    }
    if (values.get("max_steps") instanceof Optional<?> most
        && most.isPresent()
        && values.get("warmup_steps") instanceof Integer warmup
        && warmup >= (Integer) most.get()) {
      notice(
          "warmup_steps",
          "'warmup_steps' takes all of 'max_steps': the learning rate never arrives");
    }
    optimizerWithoutEffect();
    if (is("load_in_4bit", false) && is("bnb_4bit_quant_type", Quant4Type.FP4)) {
      notice("bnb_4bit_quant_type", "'bnb_4bit_quant_type' has no effect without 'load_in_4bit'");
    }
    if (is("load_in_8bit", false)) {
      withoutEffect("llm_int8_threshold", "'load_in_8bit'");
    }
    if (is("load_in_8bit", false) && is("load_in_4bit", false)) {
      withoutEffect("llm_int8_skip_modules", "'load_in_4bit' or 'load_in_8bit'");
    }
    if (values.get("datasets") instanceof List<?> training
        && InputFiles.generationEval(values)
            .filter(e -> training.stream().anyMatch(d -> shareFiles((Dataset) d, e.dataset())))
            .isPresent()) {
      String key = "generation_eval.path";
      notice(key, "'" + key + "' is also trained on: right answers to it say little");
    }
    if (values.get("datasets") instanceof List<?> training
        && values.get("test_datasets") instanceof List<?> test) {
      for (int i = 0; i < test.size(); i++) {
        Dataset file = (Dataset) test.get(i);
        if (file.weight() != 1) {
          String key = "test_datasets." + i + ".weight";
          notice(key, "'" + key + "' has no effect: all rows are evaluated once");
        }
        if (training.stream().anyMatch(d -> shareFiles((Dataset) d, file))) {
          String key = "test_datasets." + i + ".path";
          notice(key, "'" + key + "' is also trained on: its loss says little");
        }
      }
    }
  }

  private void withoutEffect(String key, String other) {
    if (values.get(key) != null && !Schema.isDefault(key, values.get(key))) {
      notice(key, "'" + key + "' has no effect without " + other);
    }
  }

  /** Constants that the optimizer has no use for. */
  private void optimizerWithoutEffect() {
    if (!(values.get("optimizer") instanceof Optimization.OptimizerName optimizer)) {
      return;
    }
    List<String> unused =
        switch (optimizer) {
          case ADAMW, ADAMW_8BIT, PAGED_ADAMW_32BIT, PAGED_ADAMW_8BIT -> List.of("momentum");
          case MUON -> List.of();
          case LION -> List.of("adam_epsilon", "momentum");
          case SGD -> List.of("adam_beta1", "adam_beta2", "adam_epsilon");
          case ADAFACTOR -> List.of("adam_beta1", "adam_beta2", "adam_epsilon", "momentum");
        };
    ignored(unused, "optimizer: " + optimizer.name().toLowerCase(Locale.ROOT));
  }

  private static boolean shareFiles(Dataset a, Dataset b) {
    return !Collections.disjoint(a.files(), b.files());
  }

  /** Notices for those of the keys that the recipe sets to something else than their default. */
  void ignored(Collection<String> keys, String with) {
    for (String key : keys) {
      Object value = values.get(key);
      if (value != null && !Schema.isDefault(key, value)) {
        notice(key, "'" + key + "' has no effect with " + with);
      }
    }
  }

  private void notBoth(String a, String b) {
    if (isSet(a) && isSet(b)) {
      Position other = at.positions().getOrDefault(a, whole);
      problem(b, "'" + b + "' and '" + a + "' (" + other + ") say the same thing twice: keep one");
    }
  }

  /** A key's value; null where it could not be read. */
  Object value(String key) {
    return values.get(key);
  }

  /** Whether the recipe names the key. */
  boolean isWritten(String key) {
    return at.positions().containsKey(key);
  }

  boolean is(String key, Object value) {
    return value.equals(values.get(key));
  }

  private boolean isOtherThan(String key, Object value) {
    return values.containsKey(key) && !is(key, value);
  }

  /** Whether the value asks for something: not empty, zero or none. */
  boolean isSet(String key) {
    Object value = values.get(key);
    if (value instanceof Optional<?> maybe) {
      return maybe.isPresent();
    }
    if (value instanceof List<?> list) {
      return !list.isEmpty();
    }
    if (value instanceof ValSetSize size) {
      return size.isSet();
    }
    return Boolean.TRUE.equals(value) || value instanceof Number number && number.doubleValue() > 0;
  }

  void problem(String key, String what) {
    at.problems().add(at.positions().getOrDefault(key, whole), what);
  }

  /** Tells of something that is read otherwise than it might be meant. */
  void notice(String key, String what) {
    at.notice(at.positions().getOrDefault(key, whole), what);
  }
}
