package ai.nibble.recipe;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.ExtendedBases;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.AllWeights;
import ai.nibble.model.BaseFiles;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ModelStore;
import ai.nibble.model.Placement;
import ai.nibble.model.Trainable;
import ai.nibble.model.WeightSource;
import ai.nibble.plan.KeptLayers;
import ai.nibble.plan.Sizes;
import ai.nibble.tensor.OutOfMemoryException;
import ai.nibble.train.RunPlace;
import ai.nibble.train.TrainSettings;
import ai.nibble.train.Trainer;
import ai.nibble.train.TrainingInterruptedException;
import ai.nibble.train.Workers;
import ai.nibble.train.log.Console;
import ai.nibble.train.log.JfrEvents;
import ai.nibble.train.log.JfrRecording;
import ai.nibble.train.log.MetricsFile;
import ai.nibble.train.log.OptionalListener;
import ai.nibble.train.log.TensorBoardFile;
import ai.nibble.train.log.TrainListener;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.BooleanSupplier;

/** Does what a recipe says: reads rows, loads the base, trains, writes what was trained. */
public final class RecipeRun {
  private final Recipe recipe;
  private final PrintStream out;
  private final int columns;
  private final List<TrainListener> ownListeners = new ArrayList<>();
  private BooleanSupplier stopWhen = () -> false;

  /**
   * @param out progress goes there, not closed
   * @param interactive whether it is a terminal
   */
  public RecipeRun(Recipe recipe, PrintStream out, boolean interactive) {
    this(recipe, out, interactive ? Console.COLUMNS : 0);
  }

  /**
   * @param out progress goes there, not closed
   * @param columns of the terminal that it is; 0: it is none
   */
  public RecipeRun(Recipe recipe, PrintStream out, int columns) {
    this.recipe = recipe;
    this.out = out;
    this.columns = columns;
  }

  /** Adds one that hears of the run, behind those that the recipe names. */
  public void listen(TrainListener listener) {
    ownListeners.add(listener);
  }

  /** Ends training early, with a checkpoint, when asked to: see {@link Trainer#stopWhen}. */
  public void stopWhen(BooleanSupplier condition) {
    stopWhen = condition;
  }

  /**
   * Runs to the end.
   *
   * @return the loss on the evaluation rows at the end; empty without such rows, or where the run
   *     was finished before
   * @throws InvalidInputException for what only the rows or the weights can show
   * @throws ai.nibble.train.TrainingInterruptedException if it was asked to stop
   */
  public OptionalDouble run() {
    return locked(this::train);
  }

  /**
   * Does what {@link #run} does before it reads weights and writes to the output directory, and
   * looks at the headers of the weights: so whatever a run would refuse is refused, in its words.
   * Encoded rows are kept for the run.
   *
   * @throws InvalidInputException for the first thing in the way, or all of one kind
   */
  public void check() {
    locked(this::rehearse);
  }

  /** What is done when all is known but the weights. */
  @FunctionalInterface
  private interface Next {
    OptionalDouble with(Inputs inputs, Optional<SavedCheckpoint> from, OutputLock lock)
        throws IOException;
  }

  private OptionalDouble locked(Next next) {
    Path output = recipe.output().outputDir();
    ResumePoint resume = new ResumePoint(recipe, out);
    try {
      OutputLock lock = OutputLock.take(output);
      try {
        resume.requireSameSettings();
        return prepared(resume, lock, next);
      } finally {
        lock.close();
      }
    } catch (IOException e) {
      throw new UncheckedIOException(output + ": cannot be written: " + FileProblem.reason(e), e);
    }
  }

  private OptionalDouble prepared(ResumePoint resume, OutputLock lock, Next next)
      throws IOException {
    // what the base and the template say now is kept: a long run may outlive their files
    Optional<String> ownTemplate =
        recipe.data().chatTemplate().map(file -> RecipeRows.template(recipe).source());
    Optional<BaseFiles> baseFiles =
        trainsAllWeights() ? Optional.of(baseFiles(ownTemplate)) : Optional.empty();
    // rows first: a bad one is found in seconds, before the weights are read
    try (InputSums sums = InputSums.start(recipe);
        RecipeRows rows = RecipeRows.read(recipe, out, () -> endIfAsked("reading rows"))) {
      RunIdentity identity = new RunIdentity(recipe, rows, sums);
      ResumePoint.Start start = resume.find(identity);
      if (start.finished()) {
        return OptionalDouble.empty();
      }
      TrainSettings settings = settings(rows);
      RecipePlan plan = RecipePlan.of(recipe, rows, settings);
      plan.vocabulary().lines().forEach(out::println);
      out.println(plan.summary());
      plan.keptSummary().ifPresent(out::println);
      plan.requirePossible();
      plan.shortage().ifPresent(line -> out.println("warning: " + line));
      settings = settings.with(plan.checkpointing());
      Inputs inputs = new Inputs(settings, identity, sums, baseFiles, ownTemplate, plan);
      return inMemory(plan, () -> next.with(inputs, start.from(), lock));
    }
  }

  /** What a run does that may find too little memory on a GPU. */
  @FunctionalInterface
  interface Body {
    OptionalDouble run() throws IOException;
  }

  /** Where memory that could be given back runs out, the failure names the key that does. */
  static OptionalDouble inMemory(RecipePlan plan, Body body) throws IOException {
    try {
      return body.run();
    } catch (OutOfMemoryException e) {
      KeptLayers kept = plan.kept();
      throw kept.isEmpty()
          ? e
          : e.helped(
              "set keep_dequantized_layers: 0, which gives back " + Sizes.text(kept.total()));
    }
  }

  /** The rest of what training refuses before its first step: the plan has looked at adapters. */
  private OptionalDouble rehearse(Inputs inputs, Optional<SavedCheckpoint> from, OutputLock lock) {
    RecipeRows rows = inputs.identity().rows();
    RunBase base = RunBase.stored(recipe, this::endIfAsked);
    try (AnswerCheck answers = answerCheck();
        WeightSource source = base.open(notice -> out.println("note: " + notice))) {
      if (answers != null) {
        answers.compare(rows.train());
      }
      for (Placement placement : Devices.placements(recipe, inputs.plan())) {
        CausalLm.requireLoadable(source, recipe.base(), base.options(source, placement));
      }
    }
    from.ifPresent(
        saved ->
            Trainer.requireWithin(
                saved, inputs.settings(), RunSettings.plan(recipe, rows.training())));
    return OptionalDouble.empty();
  }

  private TrainSettings settings(RecipeRows rows) {
    EpochPlan plan = RunSettings.plan(recipe, rows.training());
    TrainSettings settings = RunSettings.of(recipe, plan);
    if (recipe.training().samplePacking()) {
      out.println("packed " + plan.packing(0));
    }
    if (recipe.training().evalSamplePacking() && !rows.eval().isEmpty()) {
      EpochPlan eval = new EpochPlan(rows.eval(), settings.evalOrder(), recipe.seed());
      out.println("packed for evaluation " + eval.packing(0));
    }
    return settings;
  }

  /** Before the first step there is nothing to save: nobody waits for what is left to be loaded. */
  private void endIfAsked(String what) {
    if (stopWhen.getAsBoolean()) {
      throw TrainingInterruptedException.before(what);
    }
  }

  private void endAfterTrainingIfAsked(Path output) {
    if (stopWhen.getAsBoolean()) {
      throw TrainingInterruptedException.after("answering rows", output);
    }
  }

  /** What is known before the output directory is written to and the weights are read. */
  private record Inputs(
      TrainSettings settings,
      RunIdentity identity,
      InputSums sums,
      Optional<BaseFiles> baseFiles,
      Optional<String> ownTemplate,
      RecipePlan plan) {}

  private OptionalDouble train(Inputs inputs, Optional<SavedCheckpoint> from, OutputLock lock)
      throws IOException {
    RecipeRows rows = inputs.identity().rows();
    TrainSettings settings = inputs.settings();
    Path output = recipe.output().outputDir();
    List<Placement> placements = Devices.placements(recipe, inputs.plan());
    Replicas.expect(placements);
    RecipeObjective objective = new RecipeObjective(recipe);
    RunBase base = RunBase.stored(recipe, this::endIfAsked);
    boolean makesBase = LoftqBase.isNeeded(recipe);
    if (makesBase) { // it lies in the output directory, which else is touched when all is loaded
      begin(output, inputs.ownTemplate(), from);
      base = base.at(LoftqBase.of(recipe, from, out));
    }
    try (AnswerCheck answers = answerCheck();
        CausalLm model = base.load(placements.get(0), out);
        Trainable trained = trainable(model, inputs.baseFiles(), from);
        Replicas replicas =
            Replicas.load(placements, model, trained, base::loadAgain, objective::of);
        Workers workers = replicas.workers()) {
      replicas.keepDequantized(inputs.plan().kept().layers());
      describe(model, trained);
      objective.describeReference(trained).ifPresent(out::println);
      if (placements.size() > 1) {
        out.println(workers.description(settings.gradientAccumulationSteps()));
      }
      if (answers != null) {
        answers.compare(rows.train());
      }
      if (answers != null && goesOnUnchanged(inputs, from, output)) {
        answers.takeBefore(output);
      }
      if (!makesBase) {
        begin(output, inputs.ownTemplate(), from);
      }
      RunFacts facts = new RunFacts(inputs.identity(), settings.totalSteps(), model, trained);
      try (RunRecord record = RunRecord.begin(output, out, facts.runFile(from), from.isPresent());
          Listeners listeners = listeners(output, from)) {
        RunProvenance provenance = facts.provenance(inputs.sums(), from);
        listeners.all.add(0, provenance); // it knows the step when something is saved
        listeners.all.add(0, new MovedOutput(lock, () -> writeUse(output, inputs.ownTemplate())));
        listeners.all.add(record);
        listeners.all.addAll(ownListeners);
        RecipeRows prepared =
            objective.prepared(rows, model, trained, out, () -> endIfAsked("asking the reference"));
        Trainer trainer =
            new Trainer(
                workers,
                provenance.around(trained),
                settings,
                prepared.training(),
                prepared.eval(),
                listeners.all);
        if (answers != null) {
          answers.eachToken(() -> endIfAsked("answering rows"));
          answers.before(model, output, from.isEmpty() ? listeners.all : List.of());
        }
        endIfAsked("answering rows");
        if (from.isPresent() && !trainer.resume(from.get())) {
          out.println("the rows came in another order before: this epoch begins again");
        }
        trainer.stopWhen(stopWhen);
        OptionalDouble loss =
            trainer.run(
                new RunPlace(
                    output, base.name(), recipe.resolvedYaml(), inputs.identity().values()));
        if (answers != null) {
          answers.eachToken(() -> endAfterTrainingIfAsked(output));
          answers.after(model, output, trainer.resultStep(), listeners.all);
        }
        inputs.plan().compare().ifPresent(out::println);
        NextSteps.print(
            out,
            recipe,
            answers == null
                ? NextSteps.trained(rows.first())
                : NextSteps.heldOut(recipe, answers.questions()));
        return loss;
      }
    }
  }

  /** Whether what an earlier part of the run has answered would be answered again. */
  private static boolean goesOnUnchanged(Inputs inputs, Optional<SavedCheckpoint> from, Path output)
      throws IOException {
    return from.isPresent()
        && OutputFolder.isIn(output, from.get().directory())
        && from.get().differences(inputs.identity().values()).isEmpty();
  }

  /** Makes the directory, with what says how its adapter is to be used; a model says it itself. */
  private void begin(Path output, Optional<String> ownTemplate, Optional<SavedCheckpoint> from)
      throws IOException {
    if (from.isEmpty() || !OutputFolder.isIn(output, from.get().directory())) {
      OutputFolder.prepare(recipe.output());
    }
    writeUse(output, ownTemplate);
  }

  /** What says how the adapter is to be used: recipe, template, tokenizer with its new tokens. */
  private void writeUse(Path output, Optional<String> ownTemplate) throws IOException {
    WholeFile.write(output.resolve(TrainedWith.RECIPE), recipe.resolvedYaml());
    if (!recipe.vocabulary().isEmpty() && !trainsAllWeights()) {
      for (String name : ExtendedBases.FILES) {
        Path file = recipe.base().resolve(name);
        if (Files.isRegularFile(file)) {
          WholeFile.write(output.resolve(name), Files.readAllBytes(file));
        }
      }
    }
    if (ownTemplate.isPresent() && !trainsAllWeights()) {
      WholeFile.write(output.resolve(ModelStore.CHAT_TEMPLATE), ownTemplate.get());
    }
  }

  /** The rows to answer before and after; null where the recipe asks for none. */
  private AnswerCheck answerCheck() {
    return recipe.evaluation().generationEval().isPresent() ? new AnswerCheck(recipe, out) : null;
  }

  private boolean trainsAllWeights() {
    return recipe.adapter() == Recipe.Adapter.NONE;
  }

  private BaseFiles baseFiles(Optional<String> template) {
    BaseFiles files = BaseFiles.read(recipe.base());
    return template.map(files::withChatTemplate).orElse(files);
  }

  private Trainable trainable(
      CausalLm model, Optional<BaseFiles> baseFiles, Optional<SavedCheckpoint> from) {
    if (trainsAllWeights()) {
      return new AllWeights(model, baseFiles.orElseThrow());
    }
    LoraConfig config = LoraSettings.of(recipe, model.config());
    if (from.isPresent() && config.initLoraWeights().isSubtracted()) {
      return LoraAdapter.resume(model, config, from.get().directory());
    }
    if (recipe.lora().modelDir().isPresent()) {
      return AdapterStore.load(model, recipe.lora().modelDir().get(), config);
    }
    if (config.initLoraWeights().kind() != InitLoraWeights.Kind.LOFTQ) {
      return LoraAdapter.inject(model, config, recipe.seed());
    }
    try (WeightSource source = WeightSource.open(recipe.base(), notice -> {})) {
      return LoraAdapter.inject(model, config, recipe.seed(), source);
    }
  }

  private void describe(CausalLm model, Trainable trained) {
    String what =
        trained instanceof LoraAdapter adapter
            ? "adapter on " + adapter.modules().size() + " modules"
            : "all weights are trained";
    out.printf(
        Locale.ROOT,
        "%s: %d layers, weights %.1f MB; %s, %,d parameters%n",
        recipe.baseModel().getFileName(),
        model.config().numHiddenLayers(),
        model.weightBytes() / 1e6,
        what,
        trained.parameters().numel());
    out.flush();
  }

  private Listeners listeners(Path output, Optional<SavedCheckpoint> from) throws IOException {
    Console console = new Console(out, columns, recipe.output().loggingSteps());
    Listeners listeners = new Listeners(console);
    try {
      Path file = output.resolve("metrics.jsonl");
      MetricsFile metrics =
          from.isPresent()
              ? MetricsFile.resume(file, from.get().state().step())
              : MetricsFile.create(file);
      listeners.add(file.getFileName().toString(), metrics, metrics);
      if (recipe.output().reportTo().contains(Output.Reporter.TENSORBOARD)) {
        TensorBoardFile events = TensorBoardFile.create(output.resolve("runs"));
        listeners.add("TensorBoard's file", events, events);
      }
      if (recipe.output().reportTo().contains(Output.Reporter.JFR)) {
        JfrRecording recording = JfrRecording.start(output);
        listeners.add("the recording", new JfrEvents(), recording);
      }
      return listeners;
    } catch (IOException | RuntimeException e) {
      listeners.close();
      throw e;
    }
  }

  /** Those that hear of the run; what cannot write its file is told of, and no end of training. */
  private static final class Listeners implements AutoCloseable {
    private final List<TrainListener> all = new ArrayList<>();
    private final List<OptionalListener> open = new ArrayList<>();
    private final Console console;

    Listeners(Console console) {
      this.console = console;
      all.add(console);
    }

    void add(String name, TrainListener listener, AutoCloseable file) {
      open.add(new OptionalListener(name, listener, file, console::say));
      all.add(open.get(open.size() - 1));
    }

    @Override
    public void close() {
      open.forEach(OptionalListener::close);
    }
  }
}
