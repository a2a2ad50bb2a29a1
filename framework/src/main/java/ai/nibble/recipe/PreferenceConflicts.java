package ai.nibble.recipe;

import ai.nibble.recipe.Preference.RefAdapter;
import ai.nibble.recipe.Recipe.Method;
import ai.nibble.train.objective.DirectLoss;
import ai.nibble.train.objective.FDivergence;
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
    losses();
    reference();
    if (pairsWithOtherAnswers()) {
      severalRows();
    }
  }

  /** The losses that are named, as far as they could be read. */
  private List<LossType> named() {
    return keys.value("loss_type") instanceof List<?> types
        ? types.stream().map(LossType.class::cast).toList()
        : List.of();
  }

  private boolean pairsWithOtherAnswers() {
    return method == Method.KTO && named().contains(LossType.KTO);
  }

  private void losses() {
    if (!method.hasReference()) {
      return;
    }
    List<LossType> named = named();
    for (int i = 0; i < named.size(); i++) {
      if (named.get(i).method() != method) {
        problem(
            entry("loss_type", i, named.size()),
            "is '"
                + named.get(i).word()
                + "', a loss of method "
                + named.get(i).method().name().toLowerCase(Locale.ROOT)
                + ", but method is "
                + word()
                + ": expected one of "
                + LossType.of(method).stream().map(LossType::word).toList());
      }
    }
    if (method == Method.KTO && named.size() > 1) {
      problem("loss_type", "has " + named.size() + " losses, but method kto has one: keep one");
    }
    if (keys.value("loss_weights") instanceof List<?> weights
        && !weights.isEmpty()
        && !named.isEmpty()
        && weights.size() != named.size()) {
      problem(
          "loss_weights",
          "has "
              + weights.size()
              + (weights.size() == 1 ? " number" : " numbers")
              + ", but 'loss_type' names "
              + named.size()
              + (named.size() == 1 ? " loss" : " losses")
              + ": give each one its weight");
    }
    if (named.contains(LossType.SFT) && method == Method.DPO && keys.isSet("rpo_alpha")) {
      problem(
          "rpo_alpha", "and the loss 'sft' both weigh the chosen answers' cross-entropy: keep one");
    }
    for (DirectLoss loss : direct(named)) {
      if (loss.needsSmoothing() && keys.is("label_smoothing", 0.0)) {
        problem(
            "label_smoothing",
            "is 0, but the loss '"
                + loss.name().toLowerCase(Locale.ROOT)
                + "' needs a share of wrong labels above 0: its paper has 0.001");
      }
    }
    divergence(named);
  }

  private static List<DirectLoss> direct(List<LossType> named) {
    return named.stream().flatMap(type -> type.direct().stream()).toList();
  }

  private void divergence(List<LossType> named) {
    List<String> others =
        direct(named).stream()
            .filter(loss -> !loss.isOfDifference())
            .map(loss -> loss.name().toLowerCase(Locale.ROOT))
            .toList();
    if (method == Method.DPO
        && !others.isEmpty()
        && keys.value("f_divergence_type") instanceof FDivergence divergence
        && divergence != FDivergence.REVERSE_KL) {
      problem(
          "f_divergence_type",
          "is '"
              + divergence.name().toLowerCase(Locale.ROOT)
              + "', which only losses of the difference of two answers have: remove it, or "
              + others
              + " from loss_type");
    }
  }

  private void problem(String key, String what) {
    keys.problem(key, "'" + key + "' " + what);
  }

  /** The place of a list's item; a list of one may be written without brackets. */
  private String entry(String key, int item, int of) {
    String name = key + "." + item;
    return of == 1 && !keys.isWritten(name) ? key : name;
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
    constantsWithoutEffect();
    if (method.hasReference()
        && keys.is("adapter", Recipe.Adapter.NONE)
        && keys.isWritten("ref_adapter")) {
      keys.ignored(List.of("ref_adapter"), "adapter: none, where the reference is the base");
    }
    boolean entropy =
        method == Method.ORPO
            || keys.isSet("rpo_alpha")
            || method == Method.DPO && named().contains(LossType.SFT);
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

  /** Of the constants of DPO's losses those that no loss has that is named. */
  private void constantsWithoutEffect() {
    List<LossType> named = named();
    if (method == Method.DPO
        && !named.isEmpty()
        && direct(named).stream().noneMatch(DirectLoss::isSmoothed)) {
      keys.ignored(List.of("label_smoothing"), "the loss_type");
    }
    if (method != Method.DPO || !named.isEmpty() && !named.contains(LossType.DISCOPOP)) {
      keys.ignored(List.of("discopop_tau"), "a loss_type that is not discopop");
    }
    if (method != Method.DPO
        || !keys.is("f_divergence_type", FDivergence.ALPHA_DIVERGENCE)
            && keys.value("f_divergence_type") != null) {
      keys.ignored(
          List.of("f_alpha_divergence_coef"), "an f_divergence_type that is not alpha_divergence");
    }
  }

  private void unless(Set<Method> methods, List<String> unused, String... names) {
    if (!methods.contains(method)) {
      unused.addAll(List.of(names));
    }
  }
}
