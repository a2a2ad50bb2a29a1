package ai.nibble.recipe;

import ai.nibble.recipe.Recipe.Method;
import ai.nibble.train.objective.DirectLoss;
import ai.nibble.train.objective.FDivergence;
import java.util.List;
import java.util.Locale;

/**
 * What the losses that {@code loss_type} names say together with one another and their constants.
 */
final class LossConflicts {
  private final Conflicts keys;
  private final Method method;
  private final List<LossType> named;
  private final List<DirectLoss> direct;

  private LossConflicts(Conflicts keys, Method method) {
    this.keys = keys;
    this.method = method;
    this.named = named(keys);
    this.direct = named.stream().flatMap(type -> type.direct().stream()).toList();
  }

  static void check(Conflicts keys, Method method) {
    LossConflicts conflicts = new LossConflicts(keys, method);
    if (method.hasReference()) {
      conflicts.methods();
      conflicts.weights();
    }
    if (method == Method.DPO) {
      conflicts.smoothing();
      conflicts.divergence();
    }
    conflicts.withoutEffect();
  }

  /** The losses; none where they could not be read. */
  static List<LossType> named(Conflicts keys) {
    return keys.value("loss_type") instanceof List<?> types
        ? types.stream().map(LossType.class::cast).toList()
        : List.of();
  }

  private static String word(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT);
  }

  private void problem(String key, String what) {
    keys.problem(key, "'" + key + "' " + what);
  }

  private void methods() {
    for (int i = 0; i < named.size(); i++) {
      if (named.get(i).method() != method) {
        String entry = "loss_type." + i; // a list of one may be written without brackets
        problem(
            keys.isWritten(entry) ? entry : "loss_type",
            "is '"
                + named.get(i).word()
                + "', a loss of method "
                + word(named.get(i).method())
                + ", but method is "
                + word(method)
                + ": expected one of "
                + LossType.of(method).stream().map(LossType::word).toList());
      }
    }
    if (method == Method.KTO && named.size() > 1) {
      problem("loss_type", "has " + named.size() + " losses, but method kto has one: keep one");
    }
  }

  private void weights() {
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
    if (method == Method.DPO
        && keys.value("loss_weights") instanceof List<?> weights
        && !weights.isEmpty()
        && weights.stream().allMatch(weight -> weight.equals(0.0))
        && !keys.isSet("rpo_alpha")) {
      problem("loss_weights", "has nothing but 0: nothing would be learned, raise one of them");
    }
    if (method == Method.DPO && named.contains(LossType.SFT) && keys.isSet("rpo_alpha")) {
      problem(
          "rpo_alpha", "and the loss 'sft' both weigh the chosen answers' cross-entropy: keep one");
    }
  }

  private void smoothing() {
    for (DirectLoss loss : direct) {
      if (loss.needsSmoothing() && keys.is("label_smoothing", 0.0)) {
        problem(
            "label_smoothing",
            "is 0, but the loss '"
                + word(loss)
                + "' needs a share of wrong labels above 0: its paper has 0.001");
      }
    }
  }

  private void divergence() {
    List<String> others =
        direct.stream().filter(loss -> !loss.isOfDifference()).map(LossConflicts::word).toList();
    if (!others.isEmpty()
        && keys.value("f_divergence_type") instanceof FDivergence divergence
        && divergence != FDivergence.REVERSE_KL) {
      problem(
          "f_divergence_type",
          "is '"
              + word(divergence)
              + "', which only losses of the difference of two answers have: remove it, or "
              + others
              + " from loss_type");
    }
  }

  /** Constants that nothing has which is named. */
  private void withoutEffect() {
    boolean dpo = method == Method.DPO;
    boolean known = !named.isEmpty();
    if (dpo && known && direct.stream().noneMatch(DirectLoss::isSmoothed)) {
      keys.ignored(List.of("label_smoothing"), "the loss_type");
    }
    if (!dpo || known && !named.contains(LossType.DISCOPOP)) {
      keys.ignored(List.of("discopop_tau"), "a loss_type that is not discopop");
    }
    if (!dpo
        || keys.value("f_divergence_type") instanceof FDivergence divergence
            && divergence != FDivergence.ALPHA_DIVERGENCE) {
      keys.ignored(
          List.of("f_alpha_divergence_coef"), "an f_divergence_type that is not alpha_divergence");
    }
  }
}
