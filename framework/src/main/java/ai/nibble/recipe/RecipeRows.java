package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.EncodedDataset;
import ai.nibble.data.EncodingSettings;
import ai.nibble.data.Example;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.Row;
import ai.nibble.data.RowFile;
import ai.nibble.data.Sample;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.format.RowFormat;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * A recipe's rows as tokens.
 *
 * @param train to train on
 * @param eval to evaluate on, possibly none
 * @param first the first rows to train on, as they were read
 */
record RecipeRows(List<Example> train, List<Example> eval, List<Sample> first) {
  /** So many are kept for people. */
  private static final int FIRST = 32;

  /**
   * Reads and encodes all rows.
   *
   * @param out told of what was left out, cut or held back
   * @param eachRow called between rows; what it throws ends the reading
   * @throws InvalidInputException naming the recipe's key and the row
   */
  static RecipeRows read(Recipe recipe, PrintStream out, Runnable eachRow) {
    Data data = recipe.data();
    Path directory = WeightSource.directory(recipe.baseModel());
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, template(recipe), encodingSettings(recipe));
      List<Sample> first = new ArrayList<>();
      Consumer<Sample> keep =
          sample -> {
            eachRow.run();
            if (first.size() < FIRST) {
              first.add(sample);
            }
          };
      Source source = new Source(recipe, encoder, out);
      List<Example> train = source.encode("datasets", data.datasets(), keep);
      List<Example> eval =
          new ArrayList<>(
              source.encode("test_datasets", data.testDatasets(), sample -> eachRow.run()));
      if (data.valSetSize().isSet()) {
        HoldOut split = HoldOut.of(train, data.valSetSize(), recipe.seed());
        train = split.kept();
        eval.addAll(split.held());
        out.println(
            "val_set_size: " + split.held().size() + " rows held back, " + train.size() + " left");
      }
      ModelConfig model = ModelConfig.read(directory.resolve(ModelStore.CONFIG), notice -> {});
      List<Example> all = Stream.of(train, eval).flatMap(List::stream).toList();
      VocabularyCheck.check(recipe, model, tokenizer, all);
      return new RecipeRows(train, eval, List.copyOf(first));
    }
  }

  /** The recipe's template, or the base's; null where there is none and no row needs one. */
  static ChatTemplate template(Recipe recipe) {
    Path directory = WeightSource.directory(recipe.baseModel());
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

  private static EncodingSettings encodingSettings(Recipe recipe) {
    Data data = recipe.data();
    return new EncodingSettings(
        data.trainOnInputs() || recipe.method() == Recipe.Method.PRETRAIN,
        new LinkedHashSet<>(data.rolesToTrain()),
        data.trainOnEos(),
        data.sequenceLen(),
        data.excessLengthStrategy());
  }

  /** What every file of rows is encoded with. */
  private record Source(Recipe recipe, ExampleEncoder encoder, PrintStream out) {
    List<Example> encode(String key, List<Dataset> datasets, Consumer<Sample> reader) {
      List<Example> examples = new ArrayList<>();
      for (int i = 0; i < datasets.size(); i++) {
        try {
          examples.addAll(encode(datasets.get(i), reader));
        } catch (InvalidInputException e) {
          String where = recipe.where(key + "." + i + ".path");
          throw new InvalidInputException(
              e.problems().stream().map(problem -> where + ": " + problem).toList());
        }
      }
      return examples;
    }

    private List<Example> encode(Dataset dataset, Consumer<Sample> reader) {
      Path file = dataset.file();
      RowFormat format = RowFormat.named(dataset.type().name().toLowerCase(Locale.ROOT));
      try (RowFile rows = new RowFile(file, dataset.columns())) {
        EncodedDataset encoded =
            EncodedDataset.encode(
                file.toString(), dataset.limited(rows), told(format, reader), encoder);
        encoded.summary().lines().forEach(line -> out.println(file.getFileName() + ": " + line));
        return encoded.examples();
      }
    }

    /** A format that tells of every row it reads. */
    private static RowFormat told(RowFormat format, Consumer<Sample> reader) {
      return new RowFormat() {
        @Override
        public String name() {
          return format.name();
        }

        @Override
        public Sample read(Row row) {
          Sample sample = format.read(row);
          reader.accept(sample);
          return sample;
        }
      };
    }
  }
}
