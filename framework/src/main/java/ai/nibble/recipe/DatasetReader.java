package ai.nibble.recipe;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingKey;
import ai.nibble.data.EncodingSummary;
import ai.nibble.data.Example;
import ai.nibble.data.ExampleEncoder;
import ai.nibble.data.JudgedPairs;
import ai.nibble.data.Row;
import ai.nibble.data.RowEncoding;
import ai.nibble.data.RowFiles;
import ai.nibble.data.format.RowFormat;
import ai.nibble.data.stored.ExampleFile;
import ai.nibble.data.stored.ExampleStore;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Locale;
import java.util.TreeMap;
import java.util.function.Consumer;

/** Encodes the rows of a recipe's data sets, or finds them encoded already. */
final class DatasetReader {
  private static final long NANOS_BETWEEN_LINES = 10_000_000_000L;

  private final Recipe recipe;
  private final ExampleEncoder encoder;
  private final int threads;
  private final PrintStream out;
  private final Runnable eachRow;

  /**
   * @param out told of what was left out or cut, of long work, and of where encoded rows are kept
   * @param eachRow called before each row that is read; what it throws ends the reading
   */
  DatasetReader(Recipe recipe, ExampleEncoder encoder, PrintStream out, Runnable eachRow) {
    this.recipe = recipe;
    this.encoder = encoder;
    this.threads =
        recipe.data().datasetNumProc().orElse(Runtime.getRuntime().availableProcessors());
    this.out = out;
    this.eachRow = eachRow;
  }

  /**
   * The examples of a data set, in the order of its rows.
   *
   * @param key of the data set in the recipe, for messages
   * @return to be closed
   * @throws InvalidInputException naming the recipe's key and the row
   */
  ExampleFile read(String key, Dataset dataset) {
    try {
      Consumer<String> log = line -> out.println(label(dataset) + ": " + line);
      ExampleStore store = new ExampleStore(recipe.data().datasetPreparedPath().directory(), log);
      List<Path> files = dataset.files();
      String reading = reading(dataset) + (judgesPairs(dataset) ? "each answer\n" : "");
      byte[] sum = EncodingKey.of(encoder, reading, files);
      ExampleFile examples = store.get(sum, to -> encode(dataset, files, to, log));
      try {
        examples.summary().lines().forEach(log);
        checkLengths(examples.summary());
      } catch (RuntimeException e) {
        examples.close();
        throw e;
      }
      return examples;
    } catch (InvalidInputException e) {
      String where = recipe.where(key + ".path");
      throw new InvalidInputException(
          e.problems().stream().map(problem -> where + ": " + problem).toList());
    }
  }

  private static String label(Dataset dataset) {
    return dataset.path().getFileName() + dataset.split().map(s -> " (" + s + ")").orElse("");
  }

  static RowFormat format(Dataset dataset) {
    return RowFormat.named(word(dataset.type()));
  }

  private static String word(Dataset.RowType type) {
    return type.name().toLowerCase(Locale.ROOT);
  }

  /** Whether each answer of a pair becomes a row of its own, good or bad. */
  private boolean judgesPairs(Dataset dataset) {
    return recipe.method() == Recipe.Method.KTO && dataset.type() == Dataset.RowType.PREFERENCE;
  }

  /** How rows are read from the files. */
  private static String reading(Dataset dataset) {
    return format(dataset).name()
        + "\n"
        + new TreeMap<>(dataset.columns())
        + "\n"
        + dataset.limit()
        + "\n";
  }

  private EncodingSummary encode(
      Dataset dataset, List<Path> files, Consumer<Example> to, Consumer<String> log) {
    List<String> before = stamps(files);
    long start = System.nanoTime();
    EncodingSummary summary;
    try (RowFiles rows = new RowFiles(files, dataset.columns())) {
      Iterator<Row> told = new Told(dataset.limited(rows), log);
      RowFormat format = format(dataset);
      if (judgesPairs(dataset)) {
        told = new JudgedPairs(told);
        format = RowFormat.named(word(Dataset.RowType.UNPAIRED_PREFERENCE));
      }
      summary = new RowEncoding(format, encoder, threads).encode(dataset.name(), told, to);
    }
    if (!stamps(files).equals(before)) {
      throw new InvalidInputException(
          dataset.name() + " changed while it was read: start again once it is whole");
    }
    double seconds = (System.nanoTime() - start) / 1e9;
    log.accept(
        String.format(
            Locale.ROOT,
            "encoded in %.1f s, %,.0f rows/s, %d %s",
            seconds,
            summary.rows() / seconds,
            threads,
            threads == 1 ? "thread" : "threads"));
    return summary;
  }

  private static List<String> stamps(List<Path> files) {
    List<String> stamps = new ArrayList<>();
    for (Path file : files) {
      try {
        stamps.add(Files.size(file) + " " + Files.getLastModifiedTime(file));
      } catch (IOException e) {
        stamps.add("gone");
      }
    }
    return stamps;
  }

  private void checkLengths(EncodingSummary summary) {
    long excess = summary.tooLong() + summary.truncated();
    double limit = recipe.data().excessLengthLimit();
    if (excess > limit * summary.rows()) {
      throw new InvalidInputException(
          excess
              + " of "
              + summary.rows()
              + " rows are longer than sequence_len "
              + recipe.data().sequenceLen()
              + " (the longest has "
              + summary.longest()
              + " tokens), more than excess_length_limit "
              + limit
              + " allows: raise sequence_len, or excess_length_limit");
    }
  }

  /** Rows of which a line tells now and then how many there were. */
  private final class Told implements Iterator<Row> {
    private final Iterator<Row> rows;
    private final Consumer<String> log;
    private final long start = System.nanoTime();
    private long said = start;
    private long count;

    Told(Iterator<Row> rows, Consumer<String> log) {
      this.rows = rows;
      this.log = log;
    }

    @Override
    public boolean hasNext() {
      return rows.hasNext();
    }

    @Override
    public Row next() {
      eachRow.run();
      Row row = rows.next();
      count++;
      long now = System.nanoTime();
      if (now - said > NANOS_BETWEEN_LINES) {
        said = now;
        double rate = count / ((now - start) / 1e9);
        log.accept(String.format(Locale.ROOT, "%,d rows so far, %,.0f rows/s", count, rate));
      }
      return row;
    }
  }
}
