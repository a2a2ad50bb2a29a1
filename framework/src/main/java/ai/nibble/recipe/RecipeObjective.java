package ai.nibble.recipe;

import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.recipe.Preference.RefAdapter;
import ai.nibble.tensor.DType;
import ai.nibble.train.objective.ChosenEntropy;
import ai.nibble.train.objective.ContrastivePreference;
import ai.nibble.train.objective.DirectLoss;
import ai.nibble.train.objective.DirectPreference;
import ai.nibble.train.objective.KahnemanTversky;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.OddsRatioPreference;
import ai.nibble.train.objective.Reference;
import ai.nibble.train.objective.ReferenceRows;
import ai.nibble.train.objective.SimplePreference;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;

/** What a recipe trains towards. */
final class RecipeObjective {
  private final Recipe recipe;
  private final Preference preference;

  RecipeObjective(Recipe recipe) {
    this.recipe = recipe;
    this.preference = recipe.preference();
  }

  /**
   * The objective.
   *
   * @param trained as it is before the run's first step, of a run that goes on too: what the
   *     reference is made of
   */
  Objective of(Trainable trained) {
    Preference p = preference;
    return switch (recipe.method()) {
      case SFT, PRETRAIN -> new SupervisedFineTuning();
      case DPO -> new DirectPreference(direct(), reference(trained), entropy());
      case KTO ->
          new KahnemanTversky(
              p.beta(),
              p.desirableWeight(),
              p.undesirableWeight(),
              p.pairsWithOtherAnswers()
                  ? OptionalInt.of(recipe.data().sequenceLen())
                  : OptionalInt.empty(),
              reference(trained));
      case ORPO -> new OddsRatioPreference(p.beta(), recipe.data().trainOnInputs());
      case SIMPO -> new SimplePreference(p.beta(), p.simpoGamma(), p.labelSmoothing(), entropy());
      case CPO -> new ContrastivePreference(p.beta(), p.labelSmoothing(), entropy());
    };
  }

  private DirectPreference.Terms direct() {
    List<DirectPreference.Weighted> losses = new ArrayList<>();
    for (LossType type : preference.lossType()) {
      type.direct()
          .map(loss -> new DirectPreference.Weighted(loss, preference.weight(type)))
          .ifPresent(losses::add);
    }
    return new DirectPreference.Terms(
        losses,
        new DirectLoss.Constants(
            preference.beta(), preference.labelSmoothing(), preference.discopopTau()),
        preference.divergence(),
        preference.divergenceAlpha());
  }

  private ChosenEntropy entropy() {
    return new ChosenEntropy(preference.entropyWeight(), recipe.data().trainOnInputs());
  }

  /** Whether a copy of what is trained is held, as it is before the first step. */
  static boolean keepsStart(Recipe recipe) {
    return recipe.method().hasReference()
        && recipe.adapter() != Recipe.Adapter.NONE
        && recipe.preference().refAdapter() == RefAdapter.START
        && !recipe.preference().precomputeRefLogProbs();
  }

  private Reference reference(Trainable trained) {
    if (preference.precomputeRefLogProbs()) {
      return Reference.ofRows();
    }
    LoraAdapter adapter = (LoraAdapter) trained; // all weights ask for rows that know theirs
    return keepsStart(recipe) ? Reference.asItWas(adapter.frozen()) : Reference.adapterOff(adapter);
  }

  /** One line that says what is measured against; empty where nothing is. */
  Optional<String> describeReference(Trainable trained) {
    if (!recipe.method().hasReference()) {
      return Optional.empty();
    }
    if (!(trained instanceof LoraAdapter)) {
      return Optional.of("reference: the model as it is before training");
    }
    if (preference.refAdapter() == RefAdapter.NONE) {
      return Optional.of("reference: the base, which is the model with its adapter off");
    }
    String which =
        "reference: the model with its adapter as it begins"
            + recipe.lora().modelDir().map(directory -> ", that of " + directory).orElse("");
    double megabytes = trained.parameters().numel() * DType.FLOAT32.bytes() / 1e6;
    return Optional.of(
        keepsStart(recipe)
            ? which + String.format(Locale.ROOT, " (a frozen copy, %.1f MB)", megabytes)
            : which);
  }

  /**
   * Rows as the objective wants them: with the reference's numbers where the recipe wants these
   * first.
   *
   * @param model as it is before training
   * @param trained on it, likewise
   * @param out told how long it took
   * @param eachRow called before each row; what it throws ends the work
   */
  RecipeRows prepared(
      RecipeRows rows, CausalLm model, Trainable trained, PrintStream out, Runnable eachRow) {
    if (!recipe.method().hasReference() || !preference.precomputeRefLogProbs()) {
      return rows;
    }
    Reference reference =
        trained instanceof LoraAdapter adapter && preference.refAdapter() == RefAdapter.NONE
            ? Reference.adapterOff(adapter)
            : Reference.of(model);
    long start = System.nanoTime();
    RecipeRows known =
        new RecipeRows(
            new ReferenceRows(model, reference, rows.train(), eachRow),
            rows.sets(),
            new ReferenceRows(model, reference, rows.eval(), eachRow),
            rows.first(),
            rows.files());
    out.printf(
        Locale.ROOT,
        "reference: asked about %,d rows in %.1f s%n",
        rows.train().size() + rows.eval().size(),
        (System.nanoTime() - start) / 1e9);
    out.flush();
    return known;
  }
}
