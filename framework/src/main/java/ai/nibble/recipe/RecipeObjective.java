package ai.nibble.recipe;

import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.train.objective.ChosenEntropy;
import ai.nibble.train.objective.ContrastivePreference;
import ai.nibble.train.objective.DirectPreference;
import ai.nibble.train.objective.KahnemanTversky;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.OddsRatioPreference;
import ai.nibble.train.objective.Reference;
import ai.nibble.train.objective.ReferenceRows;
import ai.nibble.train.objective.SimplePreference;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.PrintStream;
import java.util.Locale;

/** What a recipe trains towards. */
final class RecipeObjective {
  private final Recipe recipe;

  RecipeObjective(Recipe recipe) {
    this.recipe = recipe;
  }

  /**
   * The objective.
   *
   * @param trained whose adapter, off, is the reference
   */
  Objective of(Trainable trained) {
    Preference p = recipe.preference();
    return switch (recipe.method()) {
      case SFT, PRETRAIN -> new SupervisedFineTuning();
      case DPO ->
          new DirectPreference(
              p.lossType(), p.beta(), p.labelSmoothing(), reference(trained), entropy());
      case KTO ->
          new KahnemanTversky(
              p.beta(),
              p.desirableWeight(),
              p.undesirableWeight(),
              recipe.data().sequenceLen(),
              reference(trained));
      case ORPO -> new OddsRatioPreference(p.beta(), recipe.data().trainOnInputs());
      case SIMPO -> new SimplePreference(p.beta(), p.simpoGamma(), p.labelSmoothing(), entropy());
      case CPO -> new ContrastivePreference(p.beta(), p.labelSmoothing(), entropy());
    };
  }

  private ChosenEntropy entropy() {
    return new ChosenEntropy(recipe.preference().rpoAlpha(), recipe.data().trainOnInputs());
  }

  private Reference reference(Trainable trained) {
    if (recipe.preference().precomputeRefLogProbs()) {
      return Reference.ofRows();
    }
    if (trained instanceof LoraAdapter adapter) {
      return Reference.adapterOff(adapter);
    }
    // a recipe without an adapter has been refused, unless its rows know their reference
    throw new IllegalStateException("no adapter to switch off: " + trained);
  }

  /**
   * Rows as the objective wants them: with the reference's numbers where the recipe wants these
   * first.
   *
   * @param model as it is before training
   * @param out told how long it took
   * @param eachRow called before each row; what it throws ends the work
   */
  RecipeRows prepared(RecipeRows rows, CausalLm model, PrintStream out, Runnable eachRow) {
    if (recipe.method() != Recipe.Method.DPO || !recipe.preference().precomputeRefLogProbs()) {
      return rows;
    }
    long start = System.nanoTime();
    RecipeRows known =
        new RecipeRows(
            new ReferenceRows(model, rows.train(), eachRow),
            rows.sets(),
            new ReferenceRows(model, rows.eval(), eachRow),
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
