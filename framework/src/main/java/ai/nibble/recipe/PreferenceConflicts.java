package ai.nibble.recipe;

import ai.nibble.recipe.Preference.RefAdapter;
import ai.nibble.recipe.Recipe.Method;
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
    LossConflicts.check(keys, method);
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
      boolean divides = method == Method.KTO && type == Dataset.RowType.PREFERENCE;
      if (wanted == null ? preferences : type != wanted && !divides) {
        String key = list + "." + i + ".type";
        String expected =
            wanted == null
                ? "rows without preferences, or a method that learns from them, such as dpo or kto"
                : wanted.name().toLowerCase(Locale.ROOT)
                    + (method == Method.KTO
                        ? ", or preference, of which each answer becomes a row of its own"
                        : "");
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
    reference();
    if (pairsWithOtherAnswers()) {
      severalRows();
    }
  }

  private boolean pairsWithOtherAnswers() {
    return method == Method.KTO && LossConflicts.named(keys).contains(LossType.KTO);
  }

  private void problem(String key, String what) {
    keys.problem(key, "'" + key + "' " + what);
  }

  private void reference() {
    boolean precomputed = keys.is("precompute_ref_log_probs", true);
    if (pairsWithOtherAnswers() && precomputed) {
      problem(
          "precompute_ref_log_probs",
          "is 'true', but method kto pairs prompts with other answers anew in every micro-batch,"
              + " which nobody can ask about before: remove it, or set loss_type:"
              + " apo_zero_unpaired");
    }
    if (!keys.is("adapter", Recipe.Adapter.NONE) || !method.hasReference() || precomputed) {
      return;
    }
    String needs =
        "is 'none', but method "
            + word()
            + " measures against the base, which is the model with its adapter off: use adapter:"
            + " lora or qlora";
    problem(
        "adapter",
        pairsWithOtherAnswers()
            ? needs
            : needs
                + ", or set precompute_ref_log_probs: true, which asks the base before training");
  }

  /** KTO's estimate of the distance to the reference needs another row's answer. */
  private void severalRows() {
    String why =
        "is 1, but method kto pairs each prompt with another row's answer: set it to 2 or more, or"
            + " loss_type to apo_zero_unpaired, which pairs none";
    boolean evaluates = keys.isSet("test_datasets") || keys.isSet("val_set_size");
    if (keys.is("micro_batch_size", 1)) {
      problem("micro_batch_size", why);
    }
    // where it is not written it is micro_batch_size
    boolean own = keys.isWritten("eval_batch_size");
    if (keys.is("eval_batch_size", 1) && evaluates && own) {
      problem("eval_batch_size", why);
    }
  }

  private void withoutEffect() {
    List<String> unused = new ArrayList<>();
    unless(EnumSet.range(Method.DPO, Method.CPO), unused, "beta");
    unless(
        Set.of(Method.DPO, Method.KTO),
        unused,
        "loss_type",
        "ref_adapter",
        "precompute_ref_log_probs");
    unless(Set.of(Method.DPO), unused, "loss_weights", "f_divergence_type");
    unless(Set.of(Method.DPO, Method.SIMPO, Method.CPO), unused, "label_smoothing", "rpo_alpha");
    unless(Set.of(Method.SIMPO), unused, "simpo_gamma");
    unless(Set.of(Method.KTO), unused, "desirable_weight", "undesirable_weight");
    keys.ignored(unused.stream().filter(keys::isWritten).toList(), "method: " + word());
    if (method.hasReference()
        && keys.is("adapter", Recipe.Adapter.NONE)
        && keys.isWritten("ref_adapter")) {
      keys.ignored(List.of("ref_adapter"), "adapter: none, where the reference is the base");
    }
    boolean entropy =
        method == Method.ORPO
            || keys.isSet("rpo_alpha")
            || method == Method.DPO && LossConflicts.named(keys).contains(LossType.SFT);
    if (method.learnsFromPreferences() && !entropy) {
      keys.ignored(
          List.of("train_on_inputs"), "method: " + word() + ", which looks at answers alone");
    }
    if (method.hasReference()
        && keys.is("ref_adapter", RefAdapter.START)
        && keys.isWritten("lora_dropout")
        && keys.isSet("lora_dropout")) {
      keys.notice(
          "lora_dropout",
          "'lora_dropout' drops from what is trained and not from the reference: the two differ"
              + " from the first step on; 0 is usual here");
    }
  }

  private void unless(Set<Method> methods, List<String> unused, String... names) {
    if (!methods.contains(method)) {
      unused.addAll(List.of(names));
    }
  }
}
