package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.WholeFile;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.EncodedDataset;
import ai.nibble.data.EncodingSettings;
import ai.nibble.data.Example;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.RowFile;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.format.RowFormat;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.AllWeights;
import ai.nibble.model.BaseFiles;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.RandomWeights;
import ai.nibble.model.Trainable;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.recipe.Quantization.ComputeDtype;
import ai.nibble.tensor.DType;
import ai.nibble.train.Trainer;
import ai.nibble.train.log.AnswerMetrics;
import ai.nibble.train.log.Console;
import ai.nibble.train.log.MetricsFile;
import ai.nibble.train.log.TensorBoardFile;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.Closeable;
import java.io.IOException;
import java.io.PrintStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Consumer;
import java.util.stream.Stream;

/** Does what a recipe says: reads rows, loads the base, trains, writes what was trained. */
public final class RecipeRun {
  private final Recipe recipe;
  private final PrintStream out;
  private final boolean interactive;

  /**
   * @param out progress goes there, not closed
   * @param interactive whether it is a terminal
   */
  public RecipeRun(Recipe recipe, PrintStream out, boolean interactive) {
    this.recipe = recipe;
    this.out = out;
    this.interactive = interactive;
  }

  /**
   * Runs to the end.
   *
   * @return the loss on the evaluation rows at the end; empty without such rows
   * @throws InvalidInputException for what only the rows or the weights can show
   */
  public OptionalDouble run() {
    Path output = recipe.output().outputDir();
    // what the base and the template say now is kept: a long run may outlive their files
    Optional<String> ownTemplate =
        recipe.data().chatTemplate().map(file -> template(modelDirectory()).source());
    Optional<BaseFiles> baseFiles =
        trainsAllWeights() ? Optional.of(baseFiles(ownTemplate)) : Optional.empty();
    // rows first: a bad one is found in seconds, before the weights are read
    Rows rows = readRows();
    try (AnswerCheck answers = answerCheck();
        CausalLm model = loadModel();
        Trainable trained = trainable(model, baseFiles)) {
      describe(model, trained);
      begin(output, ownTemplate);
      try (Listeners listeners = listeners(output)) {
        Trainer trainer =
            new Trainer(
                model,
                trained,
                new SupervisedFineTuning(),
                RunSettings.of(recipe, rows.train.size()),
                rows.train,
                rows.eval,
                listeners.all);
        if (answers != null) {
          AnswerMetrics metrics = answers.before(model, output);
          listeners.all.forEach(l -> l.answered(metrics));
        }
        OptionalDouble loss =
            trainer.run(output, recipe.baseModel().toString(), recipe.resolvedYaml());
        if (answers != null) {
          int steps = RunSettings.of(recipe, rows.train.size()).totalSteps();
          AnswerMetrics metrics = answers.after(model, output, steps);
          listeners.all.forEach(l -> l.answered(metrics));
        }
        NextSteps.print(out, recipe, answers == null ? List.of() : answers.questions());
        return loss;
      }
    } catch (IOException e) {
      throw new UncheckedIOException(output + ": cannot be written: " + e.getMessage(), e);
    }
  }

  /** Makes the directory, with what says how its adapter is to be used; a model says it itself. */
  private void begin(Path output, Optional<String> ownTemplate) throws IOException {
    OutputFolder.prepare(recipe.output());
    WholeFile.write(output.resolve(TrainedWith.RECIPE), recipe.resolvedYaml());
    if (ownTemplate.isPresent() && !trainsAllWeights()) {
      WholeFile.write(output.resolve(ModelStore.CHAT_TEMPLATE), ownTemplate.get());
    }
  }

  /** The rows to answer before and after; null where the recipe asks for none. */
  private AnswerCheck answerCheck() {
    if (recipe.evaluation().generationEval().isEmpty()) {
      return null;
    }
    Path directory = modelDirectory();
    return new AnswerCheck(recipe, config(directory), directory, template(directory), out);
  }

  /** The directory of the base model's files. */
  private Path modelDirectory() {
    return Files.isDirectory(recipe.baseModel())
        ? recipe.baseModel()
        : recipe.baseModel().toAbsolutePath().getParent();
  }

  private static ModelConfig config(Path directory) {
    return ModelConfig.read(directory.resolve(ModelStore.CONFIG), notice -> {});
  }

  private record Rows(List<Example> train, List<Example> eval) {}

  private Rows readRows() {
    Data data = recipe.data();
    Path directory = modelDirectory();
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, template(directory), encodingSettings(data));
      List<Example> train = encode("datasets", data.datasets(), encoder);
      List<Example> eval = new ArrayList<>(encode("test_datasets", data.testDatasets(), encoder));
      if (data.valSetSize().isSet()) {
        HoldOut split = HoldOut.of(train, data.valSetSize(), recipe.seed());
        train = split.kept();
        eval.addAll(split.held());
        out.println(
            "val_set_size: " + split.held().size() + " rows held back, " + train.size() + " left");
      }
      List<Example> all = Stream.of(train, eval).flatMap(List::stream).toList();
      VocabularyCheck.check(recipe, config(directory), tokenizer, all);
      return new Rows(train, eval);
    }
  }

  private ChatTemplate template(Path directory) {
    Optional<Path> file = recipe.data().chatTemplate();
    if (file.isPresent()) {
      return ChatTemplate.load(file.get(), directory, Map.of());
    }
    boolean conversations =
        Stream.of(
                recipe.data().datasets(),
                recipe.data().testDatasets(),
                recipe.evaluation().generationEval().map(GenerationEval::dataset).stream().toList())
            .flatMap(List::stream)
            .anyMatch(
                dataset ->
                    dataset.type() != Dataset.RowType.TEXT
                        && dataset.type() != Dataset.RowType.PROMPT_COMPLETION);
    if (conversations) {
      return ChatTemplate.load(directory, Map.of());
    }
    try {
      return ChatTemplate.load(directory, Map.of());
    } catch (InvalidInputException e) {
      return null; // rows of text need none
    }
  }

  private EncodingSettings encodingSettings(Data data) {
    return new EncodingSettings(
        data.trainOnInputs() || recipe.method() == Recipe.Method.PRETRAIN,
        new LinkedHashSet<>(data.rolesToTrain()),
        EncodingSettings.TrainOnEos.valueOf(data.trainOnEos().name()),
        data.sequenceLen(),
        switch (data.excessLengthStrategy()) {
          case RAISE -> EncodingSettings.ExcessLength.RAISE;
          case DROP -> EncodingSettings.ExcessLength.DROP;
          case TRUNCATE -> EncodingSettings.ExcessLength.TRUNCATE;
        });
  }

  private List<Example> encode(String key, List<Dataset> datasets, ExampleEncoder encoder) {
    List<Example> examples = new ArrayList<>();
    for (int i = 0; i < datasets.size(); i++) {
      Dataset dataset = datasets.get(i);
      Path file = dataset.file();
      String type = dataset.type().name().toLowerCase(Locale.ROOT);
      try (RowFile rows = new RowFile(file, dataset.columns())) {
        EncodedDataset encoded =
            EncodedDataset.encode(
                file.toString(), dataset.limited(rows), RowFormat.named(type), encoder);
        encoded.summary().lines().forEach(line -> out.println(file.getFileName() + ": " + line));
        examples.addAll(encoded.examples());
      } catch (InvalidInputException e) {
        String where = recipe.where(key + "." + i + ".path");
        throw new InvalidInputException(
            e.problems().stream().map(problem -> where + ": " + problem).toList());
      }
    }
    return examples;
  }

  private boolean trainsAllWeights() {
    return recipe.adapter() == Recipe.Adapter.NONE;
  }

  private BaseFiles baseFiles(Optional<String> template) {
    BaseFiles files = BaseFiles.read(recipe.baseModel());
    return template.map(files::withChatTemplate).orElse(files);
  }

  private Trainable trainable(CausalLm model, Optional<BaseFiles> baseFiles) {
    return trainsAllWeights()
        ? new AllWeights(model, baseFiles.orElseThrow())
        : LoraAdapter.inject(model, LoraSettings.of(recipe.lora()), recipe.seed());
  }

  private CausalLm loadModel() {
    Quantization q = recipe.quantization();
    DType compute = q.computeDtype().type().orElseGet(LoadOptions::autoComputeDtype);
    if (q.computeDtype() == ComputeDtype.AUTO) {
      out.println(LoadOptions.autoReason());
    }
    Optional<Quant4Config> quantization = Optional.empty();
    if (q.loadIn4bit()) {
      Quant4Type type = Quant4Type.valueOf(q.quantType().name());
      quantization = Optional.of(new Quant4Config(type, q.blocksize(), q.useDoubleQuant()));
      out.println("4-bit weights on a CPU save memory rather than time");
    }
    Path base = recipe.baseModel();
    Consumer<String> notices = notice -> out.println("note: " + notice);
    try (WeightSource source =
        recipe.init() == Recipe.Init.RANDOM
            ? RandomWeights.of(base, recipe.seed(), notices)
            : WeightSource.open(base, notices)) {
      LoadOptions options = new LoadOptions(quantization, compute, trainsAllWeights());
      return CausalLm.load(source, base, options, (done, total) -> {});
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

  private Listeners listeners(Path output) throws IOException {
    Listeners listeners = new Listeners();
    try {
      listeners.all.add(new Console(out, interactive, recipe.output().loggingSteps()));
      MetricsFile metrics = MetricsFile.create(output.resolve("metrics.jsonl"));
      listeners.add(metrics, metrics::close);
      if (recipe.output().reportTo().contains(Output.Reporter.TENSORBOARD)) {
        TensorBoardFile events = TensorBoardFile.create(output.resolve("runs"));
        listeners.add(events, events::close);
      }
      return listeners;
    } catch (IOException | RuntimeException e) {
      listeners.close();
      throw e;
    }
  }

  /** Those that hear of the run, some of which have files to close. */
  private static final class Listeners implements Closeable {
    private final List<TrainListener> all = new ArrayList<>();
    private final List<Closeable> open = new ArrayList<>();

    void add(TrainListener listener, Closeable file) {
      all.add(listener);
      open.add(file);
    }

    @Override
    public void close() throws IOException {
      for (Closeable file : open) {
        file.close();
      }
    }
  }
}
