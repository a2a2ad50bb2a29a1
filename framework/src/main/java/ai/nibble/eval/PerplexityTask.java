package ai.nibble.eval;

import ai.nibble.FileProblem;
import ai.nibble.InvalidInputException;
import ai.nibble.data.RowFile;
import ai.nibble.data.RowProblems;
import ai.nibble.nn.Pass;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * The perplexity of a text: it is encoded as one sequence and cut into {@link TextWindow windows},
 * each an item. What Hugging Face puts before plain text, if anything, stands before every window.
 */
public final class PerplexityTask implements EvalTask<PerplexityTask.Result> {
  private final String name;
  private final String where;
  private final String text;
  private final String fingerprint;
  private final int window;
  private final int stride;
  private final int limit;
  private Encoded encoded;

  /** The text's tokens by one tokenizer. */
  private record Encoded(ModelText by, int[] ids, List<TextWindow> windows) {}

  /**
   * One window.
   *
   * @param loss sum of its counted tokens' negative log-likelihoods, in nats
   * @param tokens that were counted
   */
  public record Result(double loss, int tokens) {}

  /**
   * Reads a text.
   *
   * @param file a JSONL or JSON file, whose rows' {@code text} is joined by empty lines, or any
   *     other as it is, in UTF-8
   * @param limit most windows
   * @throws InvalidInputException where the file cannot be read or holds no text
   */
  public PerplexityTask(String name, Path file, int window, int stride, int limit) {
    if (window < 2 || stride < 1 || stride > window) {
      throw new InvalidInputException(
          "--window is "
              + window
              + " and --stride "
              + stride
              + ", expected a window of at least 2 tokens, and a stride from 1 to the window");
    }
    this.name = name;
    this.where = file.toString();
    this.text = read(file);
    this.fingerprint = Fingerprint.of(text);
    this.window = window;
    this.stride = stride;
    this.limit = limit;
    if (text.isBlank()) {
      throw new InvalidInputException(file + ": holds no text, expected some to be predicted");
    }
  }

  private static String read(Path file) {
    String suffix = file.getFileName().toString().toLowerCase(Locale.ROOT);
    if (suffix.matches(".*\\.(jsonl|ndjson|json)")) {
      List<String> texts = new ArrayList<>();
      try (RowFile rows = new RowFile(file, Map.of())) {
        RowProblems.forEach(file.toString(), rows, row -> texts.add(row.text("text")));
      }
      return String.join("\n\n", texts);
    }
    try {
      ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file));
      return StandardCharsets.UTF_8.newDecoder().decode(bytes).toString();
    } catch (CharacterCodingException e) {
      throw new InvalidInputException(file + ": not valid UTF-8, expected plain text", e);
    } catch (IOException e) {
      throw new InvalidInputException(file + ": cannot be read: " + FileProblem.reason(e), e);
    }
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public Map<String, String> settings(ModelText by) {
    Map<String, String> settings = new LinkedHashMap<>();
    settings.put("data", fingerprint);
    settings.put("window", "" + window);
    settings.put("stride", "" + stride);
    return settings;
  }

  @Override
  public int items(ModelText by) {
    return Math.min(limit, encode(by).windows.size());
  }

  private Encoded encode(ModelText by) {
    if (encoded == null || encoded.by != by) {
      int most = by.mostTokens();
      if (window > most) {
        throw new InvalidInputException(
            name
                + ": --window is "
                + window
                + ", expected at most "
                + most
                + ", the model's max_position_embeddings: lower it");
      }
      int[] ids = by.ids(text);
      List<TextWindow> windows = TextWindow.cut(ids.length, window, stride);
      if (windows.isEmpty()) {
        throw new InvalidInputException(where + ": a single token, expected at least two");
      }
      encoded = new Encoded(by, ids, windows);
    }
    return encoded;
  }

  @Override
  public Class<Result> resultType() {
    return Result.class;
  }

  @Override
  public void evaluate(Subject subject, int begin, int end, Consumer<List<Result>> results) {
    Encoded all = encode(subject.text());
    int each = Math.max(1, subject.batchTokens() / window);
    for (int first = begin; first < end; first += each) {
      int last = Math.min(end, first + each);
      results.accept(batch(subject, all.ids, all.windows.subList(first, last)));
    }
  }

  private static List<Result> batch(Subject subject, int[] text, List<TextWindow> windows) {
    int[] prefix = subject.text().tokenizer().textPrefix();
    int[] starts = new int[windows.size() + 1];
    IntStream.Builder ids = IntStream.builder();
    IntStream.Builder positions = IntStream.builder();
    IntStream.Builder targets = IntStream.builder();
    for (int w = 0; w < windows.size(); w++) {
      TextWindow window = windows.get(w);
      int first = starts[w] + prefix.length - window.begin(); // plus a token's index: its place
      Arrays.stream(prefix).forEach(ids);
      // the last token is predicted and predicts nothing
      Arrays.stream(text, window.begin(), window.end() - 1).forEach(ids);
      IntStream.range(window.countedFrom(), window.end())
          .map(t -> first + t - 1)
          .forEach(positions);
      Arrays.stream(text, window.countedFrom(), window.end()).forEach(targets);
      starts[w + 1] = first + window.end() - 1;
    }
    double[] logLikelihoods =
        subject.logLikelihoods(
            ids.build().toArray(),
            Pass.evaluating(starts),
            positions.build().toArray(),
            targets.build().toArray());
    List<Result> results = new ArrayList<>();
    int at = 0;
    for (TextWindow window : windows) {
      double sum = Arrays.stream(logLikelihoods, at, at + window.counted()).sum();
      results.add(new Result(-sum, window.counted()));
      at += window.counted();
    }
    return results;
  }

  @Override
  public List<Metric> metrics(List<Result> results) {
    return List.of(
        Metric.perplexity(
            "perplexity",
            results.stream().mapToDouble(Result::loss).toArray(),
            results.stream().mapToDouble(Result::tokens).toArray()));
  }
}
