package ai.nibble.recipe;

import ai.nibble.train.objective.DirectLoss;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What {@code loss_type} may name: TRL's names of losses, with the method that each is of. */
public enum LossType {
  SIGMOID(DirectLoss.SIGMOID),
  HINGE(DirectLoss.HINGE),
  IPO(DirectLoss.IPO),
  EXO_PAIR(DirectLoss.EXO_PAIR),
  NCA_PAIR(DirectLoss.NCA_PAIR),
  ROBUST(DirectLoss.ROBUST),
  BCO_PAIR(DirectLoss.BCO_PAIR),
  SPPO_HARD(DirectLoss.SPPO_HARD),
  APO_ZERO(DirectLoss.APO_ZERO),
  APO_DOWN(DirectLoss.APO_DOWN),
  DISCOPOP(DirectLoss.DISCOPOP),
  SIGMOID_NORM(DirectLoss.SIGMOID_NORM),
  /** The cross-entropy of the chosen answers, as a part of a sum. */
  SFT(Recipe.Method.DPO),
  KTO(Recipe.Method.KTO),
  /** KTO's without an estimate of how far the model has moved. */
  APO_ZERO_UNPAIRED(Recipe.Method.KTO);

  private final Recipe.Method method;
  private final DirectLoss direct;

  LossType(DirectLoss direct) {
    this.method = Recipe.Method.DPO;
    this.direct = direct;
  }

  LossType(Recipe.Method method) {
    this.method = method;
    this.direct = null;
  }

  /** Those of a method. */
  static List<LossType> of(Recipe.Method method) {
    return Arrays.stream(values()).filter(type -> type.method == method).toList();
  }

  Recipe.Method method() {
    return method;
  }

  /** The form of DPO's loss that it is; empty for others. */
  Optional<DirectLoss> direct() {
    return Optional.ofNullable(direct);
  }

  /** As recipes write it. */
  String word() {
    return name().toLowerCase(Locale.ROOT);
  }
}
