package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Trainable;
import ai.nibble.report.Environment;
import ai.nibble.report.Lengths;
import ai.nibble.report.ProvenanceFile;
import ai.nibble.report.RunFile;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** What a run knows of itself before its first step, as its files have it. */
final class RunFacts {
  private final Recipe recipe;
  private final RunIdentity identity;
  private final int totalSteps;
  private final RecipeRows rows;
  private final CausalLm model;
  private final Trainable trained;
  private final String started = RunProvenance.now();
  private final Environment environment;

  RunFacts(RunIdentity identity, int totalSteps, CausalLm model, Trainable trained) {
    this.recipe = identity.recipe();
    this.identity = identity;
    this.totalSteps = totalSteps;
    this.rows = identity.rows();
    this.model = model;
    this.trained = trained;
    this.environment = Environment.here(model.devices());
  }

  private String computeDtype() {
    return model.precision().compute().torchName();
  }

  /** As {@code run.json} begins. */
  RunFile runFile(Optional<SavedCheckpoint> from) {
    int firstStep = from.map(saved -> saved.state().step()).orElse(0);
    RunFile.Session session =
        new RunFile.Session(firstStep, firstStep, started, 0, RunFile.RUNNING, 0);
    Path name = recipe.output().outputDir().getFileName();
    return new RunFile(
        RunFile.VERSION,
        String.valueOf(name),
        totalSteps,
        environment,
        new RunFile.Model(
            recipe.baseModel().toString(),
            recipe.adapter().name().toLowerCase(Locale.ROOT),
            model.config().numHiddenLayers(),
            model.weightBytes(),
            trained instanceof LoraAdapter adapter ? adapter.modules().size() : 0,
            trained.parameters().numel(),
            computeDtype(),
            VocabularyChange.of(recipe, model.config()).ofRun().orElse(null)),
        files(),
        Lengths.of(rows.train().stream().mapToInt(Example::length).toArray()),
        rows.train().size(),
        rows.eval().size(),
        List.of(session));
  }

  /** What became of the rows of each data set. */
  private List<RunFile.Data> files() {
    List<RunFile.Data> files = new ArrayList<>();
    describe("datasets", recipe.data().datasets(), files);
    describe("test_datasets", recipe.data().testDatasets(), files);
    return files;
  }

  private void describe(String key, List<Dataset> datasets, List<RunFile.Data> files) {
    for (int i = 0; i < datasets.size(); i++) {
      EncodingSummary summary = rows.files().get(files.size()).summary();
      double weight = datasets.get(i).weight();
      Double shown = weight == 1 ? null : weight;
      files.add(new RunFile.Data(key + "." + i, datasets.get(i).name(), summary, shown));
    }
  }

  /** Waits for the sums of the files that were read. */
  RunProvenance provenance(InputSums sums, Optional<SavedCheckpoint> from) {
    RunProvenance.Facts facts =
        new RunProvenance.Facts(
            recipe,
            totalSteps,
            started,
            computeDtype(),
            environment,
            from.map(RunFacts::resumedFrom).orElse(List.of()),
            sums.base(),
            sums.data(),
            identity);
    return new RunProvenance(
        facts,
        from.map(saved -> saved.state().step()).orElse(0),
        from.map(saved -> saved.state().tokensSeen()).orElse(0L));
  }

  /** The checkpoint's own step, after those that it says it was gone on from itself. */
  private static List<Integer> resumedFrom(SavedCheckpoint from) {
    List<Integer> steps = new ArrayList<>();
    try {
      steps.addAll(ProvenanceFile.read(from.directory()).resumedFromSteps());
    } catch (IOException | InvalidInputException e) {
      // written without a provenance, by a run in Java: what was before it is not known
    }
    steps.add(from.state().step());
    return steps;
  }
}
