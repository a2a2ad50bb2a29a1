package ai.nibble.recipe;

import ai.nibble.recipe.Recipe.Method;
import ai.nibble.train.objective.DirectPreference.LossType;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** What the method, its rows and the keys about preferences say together. */
final class PreferenceConflicts {
  private final Conflicts keys;
  private final Method method;

  private PreferenceConflicts(Conflicts keys, Method method) {
    this.keys = keys;
    this.method = method;
  }

  /**
   * @param method null where it could not be read: then nothing can be told
   */
  static void check(Conflicts keys, Method method) {
    if (method == null) {
      return;
    }
    PreferenceConflicts conflicts = new PreferenceConflicts(keys, method);
    conflicts.rows("datasets");
    conflicts.rows("test_datasets");
    if (method.learnsFromPreferences()) {
      conflicts.contradictions();
    }
    conflicts.withoutEffect();
  }

  private String word() {
    return method.name().toLowerCase(Locale.ROOT);
  }

  private void rows(String list) {
    if (!(keys.value(list) instanceof List<?> datasets)) {
      return;
    }
    for (int i = 0; i < datasets.size(); i++) {
      Dataset.RowType type = ((Dataset) datasets.get(i)).type();
      Dataset.RowType wanted = method.rows();
      boolean preferences =
          type == Dataset.RowType.PREFERENCE || type == Dataset.RowType.UNPAIRED_PREFERENCE;
      if (wanted == null ? preferences : type != wanted) {
        String key = list + "." + i + ".type";
        String expected =
            wanted == null
                ? "rows without preferences, or a method that learns from them, such as dpo or kto"
                : wanted.name().toLowerCase(Locale.ROOT);
        keys.problem(
            key,
            "'"
                + key
                + "' is '"
                + type.name().toLowerCase(Locale.ROOT)
                + "', but method "
                + word()
                + " expects "
                + expected);
      }
    }
  }

  private void contradictions() {
    for (String key : List.of("sample_packing", "eval_sample_packing")) {
      if (keys.is(key, true) && keys.isWritten(key)) {
        keys.problem(
            key,
            "'"
                + key
                + "' is 'true', but method "
                + word()
                + " counts rows and compares answers, which a pack does not keep together: remove"
                + " it, and raise micro_batch_size instead");
      }
    }
    boolean precomputed = keys.is("precompute_ref_log_probs", true);
    if (method == Method.KTO && precomputed) {
      keys.problem(
          "precompute_ref_log_probs",
          "'precompute_ref_log_probs' is 'true', but method kto pairs prompts with other answers"
              + " anew in every micro-batch, which nobody can ask about before: remove it");
    }
    if (keys.is("adapter", Recipe.Adapter.NONE)) {
      if (method == Method.KTO) {
        keys.problem(
            "adapter",
            "'adapter' is 'none', but method kto measures against the base, which is the model with"
                + " its adapter off: use adapter: lora or qlora");
      } else if (method == Method.DPO && !precomputed) {
        keys.problem(
            "adapter",
            "'adapter' is 'none', but method dpo measures against the base, which is the model with"
                + " its adapter off: use adapter: lora or qlora, or set precompute_ref_log_probs:"
                + " true, which asks the base before training");
      }
    }
    if (method == Method.KTO) {
      severalRows();
    }
  }

  /** KTO's estimate of the distance to the reference needs another row's answer. */
  private void severalRows() {
    String why =
        "' is 1, but method kto pairs each prompt with another row's answer: set it to 2 or more";
    if (keys.is("micro_batch_size", 1)) {
      keys.problem("micro_batch_size", "'micro_batch_size" + why);
    } else if (keys.is("eval_batch_size", 1)
        && (keys.isSet("test_datasets") || keys.isSet("val_set_size"))) {
      keys.problem("eval_batch_size", "'eval_batch_size" + why);
    }
  }

  private void withoutEffect() {
    List<String> unused = new ArrayList<>();
    unless(Set.of(Method.DPO), unused, "loss_type", "precompute_ref_log_probs");
    unless(EnumSet.range(Method.DPO, Method.CPO), unused, "beta");
    unless(Set.of(Method.DPO, Method.SIMPO, Method.CPO), unused, "label_smoothing", "rpo_alpha");
    unless(Set.of(Method.SIMPO), unused, "simpo_gamma");
    unless(Set.of(Method.KTO), unused, "desirable_weight", "undesirable_weight");
    if (method == Method.KTO) {
      unused.remove("precompute_ref_log_probs"); // a problem
    }
    keys.ignored(unused.stream().filter(keys::isWritten).toList(), "method: " + word());
    boolean smooths = keys.is("loss_type", LossType.HINGE) || keys.is("loss_type", LossType.IPO);
    if (method == Method.DPO && smooths) {
      keys.ignored(List.of("label_smoothing"), "the loss_type");
    }
    boolean entropy = method == Method.ORPO || keys.isSet("rpo_alpha");
    if (method.learnsFromPreferences() && !entropy) {
      keys.ignored(
          List.of("train_on_inputs"), "method: " + word() + ", which looks at answers alone");
    }
  }

  private void unless(Set<Method> methods, List<String> unused, String... names) {
    if (!methods.contains(method)) {
      unused.addAll(List.of(names));
    }
  }
}
