package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSummary;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.PackingSummary;
import ai.nibble.data.Tokenizer;
import ai.nibble.model.BaseFiles;
import ai.nibble.model.WeightSource;
import ai.nibble.train.TrainSettings;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/**
 * What a recipe would train, and on what, found as {@code train} finds it but from configuration,
 * headers and rows alone: no weight is read.
 *
 * @param evalRows rows to evaluate on
 * @param summaries what became of the rows of each entry of {@code datasets}
 * @param tokens what the rows to train on are made of
 * @param samples the first rows to train on; of a pair the chosen sequence, then the rejected one
 * @param packing how full the first epoch's packs are; empty without {@code sample_packing}
 * @param stepsPerEpoch optimizer steps of the first epoch
 * @param totalSteps optimizer steps of the run
 * @param coverage which weights are trained
 * @param vocabulary what becomes of the base's
 * @param notes one line each, as {@code train} prints them
 */
public record Inspection(
    int evalRows,
    List<EncodingSummary> summaries,
    TokenSummary tokens,
    List<List<TokenText>> samples,
    Optional<PackingSummary> packing,
    int stepsPerEpoch,
    int totalSteps,
    Coverage coverage,
    VocabularyChange vocabulary,
    List<String> notes) {

  /**
   * Looks at everything.
   *
   * @param recipe as {@link RecipeLoader} gives it
   * @param samples rows to show, at most
   * @throws InvalidInputException with all that {@code train} would refuse, in its words
   */
  public static Inspection of(Recipe recipe, int samples) {
    ByteArrayOutputStream told = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(told, true, StandardCharsets.UTF_8);
    Set<String> problems = new LinkedHashSet<>();
    requireDevice(recipe, problems);
    if (recipe.adapter() == Recipe.Adapter.NONE) {
      attempt(problems, () -> BaseFiles.read(recipe.base()));
    }
    attempt(
        problems,
        () -> {
          new ResumePoint(recipe, out).requireSameSettings();
          return recipe;
        });
    try (RecipeRows rows = attempt(problems, () -> RecipeRows.read(recipe, out))) {
      EpochPlan plan = rows == null ? null : RunSettings.plan(recipe, rows.training());
      TrainSettings settings =
          plan == null ? null : attempt(problems, () -> RunSettings.of(recipe, plan));
      if (recipe.evaluation().generationEval().isPresent()) {
        attempt(problems, () -> questions(recipe, rows, out));
      }
      Weights weights = attempt(problems, () -> weights(recipe, out));
      if (!problems.isEmpty()) {
        throw new InvalidInputException(List.copyOf(problems));
      }
      List<String> notes = told.toString(StandardCharsets.UTF_8).lines().toList();
      return of(recipe, rows, plan, settings.totalSteps(), samples, weights, notes);
    }
  }

  private static Inspection of(
      Recipe recipe,
      RecipeRows rows,
      EpochPlan plan,
      int totalSteps,
      int samples,
      Weights weights,
      List<String> notes) {
    try (Tokenizer tokenizer = Tokenizer.load(WeightSource.directory(recipe.base()))) {
      return new Inspection(
          rows.eval().size(),
          rows.summaries(recipe.data().datasets().size()),
          TokenSummary.of(tokenizer, rows.train()),
          rows.train().stream()
              .limit(samples)
              .flatMap(row -> row.sequences().stream())
              .map(row -> TokenText.of(tokenizer, row))
              .toList(),
          recipe.training().samplePacking() ? Optional.of(plan.packing(0)) : Optional.empty(),
          RunSettings.steps(recipe.training(), plan.units(0)),
          totalSteps,
          weights.coverage,
          weights.vocabulary,
          notes);
    }
  }

  /** The result, or null once its problems have been noted: so that the rest is looked at too. */
  private static <T> T attempt(Set<String> problems, Supplier<T> step) {
    try {
      return step.get();
    } catch (InvalidInputException e) {
      problems.addAll(e.problems());
      return null;
    }
  }

  private static void requireDevice(Recipe recipe, Set<String> problems) {
    attempt(
        problems,
        () -> {
          recipe
              .deviceMap()
              .requireDevices("device_map", key -> recipe.where(key) + ": '" + key + "'");
          return recipe;
        });
    if (recipe.training().devices().areChosen()) {
      attempt(problems, () -> Devices.of(recipe));
    }
  }

  /**
   * @param rows null where they could not be read
   */
  private static int questions(Recipe recipe, RecipeRows rows, PrintStream out) {
    try (AnswerCheck answers = new AnswerCheck(recipe, out)) {
      if (rows != null) {
        answers.compare(rows.train());
      }
      return answers.questions().size();
    }
  }

  /** What the headers show. */
  private record Weights(Coverage coverage, VocabularyChange vocabulary) {}

  private static Weights weights(Recipe recipe, PrintStream out) {
    try (WeightSource base = RunBase.stored(recipe, doing -> {}).open(out::println)) {
      Coverage coverage = Coverage.of(recipe, base);
      BaseCheck.require(recipe, base);
      return new Weights(coverage, VocabularyChange.of(recipe, base.config()));
    }
  }
}
