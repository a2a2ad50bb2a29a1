package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.ChatTemplate;
import ai.nibble.data.EncodingSettings;
import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.Examples;
import ai.nibble.data.Row;
import ai.nibble.data.RowFiles;
import ai.nibble.data.Sample;
import ai.nibble.data.Tokenizer;
import ai.nibble.data.TrainingRows;
import ai.nibble.data.TrainingRows.Weighted;
import ai.nibble.data.format.RowFormat;
import ai.nibble.data.stored.ExampleFile;
import ai.nibble.model.ModelConfig;
import ai.nibble.model.ModelStore;
import ai.nibble.model.WeightSource;
import java.io.PrintStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * A recipe's rows as tokens, in files that are open until closed.
 *
 * @param train to train on
 * @param sets that make up the rows to train on, with their weights
 * @param eval to evaluate on, possibly none
 * @param first the first rows to train on, as they were read
 * @param files to be closed
 */
record RecipeRows(
    List<Example> train,
    List<Weighted> sets,
    List<Example> eval,
    List<Sample> first,
    List<ExampleFile> files)
    implements AutoCloseable {
  /** So many are kept for people. */
  private static final int FIRST = 32;

  /** Reads and encodes all rows: see {@link #read(Recipe, PrintStream, Runnable)}. */
  static RecipeRows read(Recipe recipe, PrintStream out) {
    return read(recipe, out, () -> {});
  }

  /**
   * Reads and encodes all rows.
   *
   * @param out told of what was left out, cut or held back
   * @param eachRow called between rows; what it throws ends the reading
   * @throws InvalidInputException naming the recipe's key and the row
   */
  static RecipeRows read(Recipe recipe, PrintStream out, Runnable eachRow) {
    Path directory = WeightSource.directory(recipe.base());
    List<ExampleFile> files = new ArrayList<>();
    try (Tokenizer tokenizer = Tokenizer.load(directory)) {
      ExampleEncoder encoder =
          new ExampleEncoder(tokenizer, template(recipe), encodingSettings(recipe));
      DatasetReader reader = new DatasetReader(recipe, encoder, out, eachRow);
      List<Dataset> datasets = recipe.data().datasets();
      for (int i = 0; i < datasets.size(); i++) {
        files.add(reader.read("datasets." + i, datasets.get(i)));
      }
      List<Dataset> tests = recipe.data().testDatasets();
      for (int i = 0; i < tests.size(); i++) {
        files.add(reader.read("test_datasets." + i, tests.get(i)));
      }
      ModelConfig model = ModelConfig.read(directory.resolve(ModelStore.CONFIG), notice -> {});
      int highest = files.stream().mapToInt(file -> file.summary().highestId()).max().orElse(0);
      VocabularyCheck.check(recipe, model, tokenizer, highest);
      RecipeRows rows = split(recipe, files, out);
      OverlapCheck.warning(rows.train, rows.eval).ifPresent(out::println);
      EmptyAnswers.warning(rows.train, tokenizer).ifPresent(out::println);
      UntaughtEnd.note(recipe, rows.train, tokenizer).ifPresent(out::println);
      tokenizer.notice().ifPresent(notice -> out.println("note: " + notice));
      EndOfTurn.warning(recipe, model, tokenizer).ifPresent(out::println);
      return rows;
    } catch (RuntimeException | Error e) {
      files.forEach(ExampleFile::close);
      throw e;
    }
  }

  /** What is trained and what is evaluated on. */
  private static RecipeRows split(Recipe recipe, List<ExampleFile> files, PrintStream out) {
    List<Dataset> datasets = recipe.data().datasets();
    int count = datasets.size();
    List<Example> train = Examples.joined(List.copyOf(files.subList(0, count)));
    List<Example> eval = Examples.joined(List.copyOf(files.subList(count, files.size())));
    int[] held = new int[count];
    ValSetSize size = recipe.data().valSetSize();
    if (size.isSet()) {
      HoldOut split = HoldOut.of(train, recipe);
      train = split.kept();
      eval = split.held(); // there are no test_datasets beside val_set_size
      int set = 0;
      int end = files.get(0).size();
      for (int index : split.heldIndices()) {
        while (index >= end) {
          end += files.get(++set).size();
        }
        held[set]++;
      }
      out.println("val_set_size: " + eval.size() + " rows held back, " + train.size() + " left");
    }
    List<Weighted> sets = new ArrayList<>();
    double perEpoch = 0;
    for (int i = 0; i < count; i++) {
      int left = files.get(i).size() - held[i];
      double weight = datasets.get(i).weight();
      perEpoch += left * weight + 1;
      if (weight != 1) {
        out.println(datasets.get(i).name() + ": weight " + YamlWriter.number(weight));
      }
      if (perEpoch > Integer.MAX_VALUE) {
        String more = weight + " makes more than " + Integer.MAX_VALUE + " rows an epoch: lower it";
        String key = "datasets." + i + ".weight";
        throw new InvalidInputException(recipe.where(key) + ": '" + key + "' is " + more);
      }
      if (left > 0) {
        sets.add(new Weighted(left, weight));
      } else {
        out.println("val_set_size: holds back all rows of " + datasets.get(i).name());
      }
    }
    return new RecipeRows(train, sets, eval, first(datasets), List.copyOf(files));
  }

  /** Rows as they stand, which were read and found good before. */
  private static List<Sample> first(List<Dataset> datasets) {
    List<Sample> first = new ArrayList<>();
    for (Dataset dataset : datasets) {
      RowFormat format = DatasetReader.format(dataset);
      try (RowFiles files = dataset.open()) {
        Iterator<Row> rows = dataset.limited(files);
        while (first.size() < FIRST && rows.hasNext()) {
          first.add(format.read(rows.next()));
        }
      }
    }
    return List.copyOf(first);
  }

  /** The rows to train on, with how often an epoch has them. */
  TrainingRows training() {
    return new TrainingRows(train, sets);
  }

  /**
   * What became of the rows of each data set to train on.
   *
   * @param datasets how many the recipe has
   */
  List<EncodingSummary> summaries(int datasets) {
    return files.subList(0, datasets).stream().map(ExampleFile::summary).toList();
  }

  @Override
  public void close() {
    files.forEach(ExampleFile::close);
  }

  /** Whether any of these data sets is of conversations, by its type. */
  static boolean areConversations(Stream<Dataset> datasets) {
    return datasets.anyMatch(
        dataset ->
            switch (dataset.type()) {
              case TEXT, PROMPT_COMPLETION, PREFERENCE, UNPAIRED_PREFERENCE -> false;
              case ALPACA, MESSAGES, SHAREGPT -> true;
            });
  }

  /** The recipe's template, or the base's; null where there is none and no row needs one. */
  static ChatTemplate template(Recipe recipe) {
    Path directory = WeightSource.directory(recipe.base());
    Optional<Path> file = recipe.data().chatTemplate();
    if (file.isPresent()) {
      return ChatTemplate.load(file.get(), directory, Map.of());
    }
    Stream<Dataset> datasets =
        Stream.of(
                recipe.data().datasets(),
                recipe.data().testDatasets(),
                recipe.evaluation().generationEval().map(GenerationEval::dataset).stream().toList())
            .flatMap(List::stream);
    if (areConversations(datasets)) {
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
}
