package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A random model of bytes: one token a byte. */
class PerplexityTaskTest {
  /** Sums of up to 16 log-likelihoods from logits below 40, each rounded to 2e-6. */
  private static final double TOLERANCE = 3e-4;

  private static final String TEXT = "The quick brown fox jumps over the lazy dog, twice.";

  @TempDir Path folder;
  private long liveBefore;
  private CausalLm model;

  @BeforeEach
  void load() throws IOException {
    liveBefore = Tensor.live();
    TinyChat.write(folder);
    model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
  }

  @AfterEach
  void everyTensorIsClosed() {
    model.close();
    assertEquals(liveBefore, Tensor.live());
  }

  private Path file(String name, String text) throws IOException {
    return Files.writeString(folder.resolve(name), text);
  }

  private List<PerplexityTask.Result> results(PerplexityTask task, int batchTokens) {
    List<PerplexityTask.Result> results = new ArrayList<>();
    try (ModelText text = ModelText.load(folder, Optional.empty())) {
      Subject subject = new Subject(text, model, batchTokens, 0, new Scope());
      task.evaluate(subject, 0, task.items(text), results::addAll);
    }
    return results;
  }

  /** Loss of tokens {@code [from, end)} of a sequence, by softmax of all its logits. */
  private double loss(int[] ids, int from) {
    int[] positions = IntStream.range(0, ids.length).toArray();
    double sum = 0;
    try (Tensor all = model.logits(ids, Pass.evaluating(0, ids.length), positions)) {
      float[] logits = all.toFloats();
      int width = logits.length / ids.length;
      for (int t = from; t < ids.length; t++) {
        int row = (t - 1) * width;
        double total = IntStream.range(0, width).mapToDouble(v -> Math.exp(logits[row + v])).sum();
        sum += Math.log(total) - logits[row + ids[t]];
      }
    }
    return sum;
  }

  private static int[] bytes(String text) {
    return text.chars().toArray();
  }

  @Test
  void aWindowsLossIsThatOfItsCountedTokens() throws IOException {
    PerplexityTask task = new PerplexityTask("p", file("t.txt", TEXT), 16, 5, 3);
    List<PerplexityTask.Result> results = results(task, 64);
    assertEquals(3, results.size());
    assertEquals(15, results.get(0).tokens());
    assertEquals(loss(bytes(TEXT.substring(0, 16)), 1), results.get(0).loss(), TOLERANCE);
    assertEquals(5, results.get(2).tokens());
    assertEquals(loss(bytes(TEXT.substring(10, 26)), 11), results.get(2).loss(), TOLERANCE);
    double mean = results.stream().mapToDouble(PerplexityTask.Result::loss).sum() / 25;
    Metric metric = task.metrics(results).get(0);
    assertEquals(Math.exp(mean), metric.estimate().value(), 1e-9 * Math.exp(mean));
  }

  @Test
  void batchesChangeNothing() throws IOException {
    PerplexityTask task = new PerplexityTask("p", file("t.txt", TEXT), 16, 16, Integer.MAX_VALUE);
    List<PerplexityTask.Result> one = results(task, 1);
    List<PerplexityTask.Result> all = results(task, 10_000);
    assertEquals(4, one.size());
    for (int w = 0; w < 4; w++) {
      assertEquals(one.get(w).loss(), all.get(w).loss(), TOLERANCE);
    }
    assertEquals(TEXT.length() - 4, all.stream().mapToInt(PerplexityTask.Result::tokens).sum());
  }

  @Test
  void whatStandsBeforePlainTextStandsBeforeEveryWindow() throws IOException {
    SmallTokenizer.write(folder, true);
    PerplexityTask task = new PerplexityTask("p", file("t.txt", TEXT), 8, 8, 2);
    int[] second = bytes("\0" + TEXT.substring(8, 16));
    second[0] = 256;
    PerplexityTask.Result result = results(task, 64).get(1);
    assertEquals(7, result.tokens());
    assertEquals(loss(second, 2), result.loss(), TOLERANCE);
  }

  @Test
  void rowsOfJsonAreJoinedByEmptyLines() throws IOException {
    Path rows = file("t.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\"}\n");
    Path plain = file("t.txt", "one\n\ntwo");
    try (ModelText text = ModelText.load(folder, Optional.empty())) {
      assertEquals(
          new PerplexityTask("p", plain, 8, 8, 1).settings(text),
          new PerplexityTask("p", rows, 8, 8, 1).settings(text));
    }
  }

  @Test
  void whatCannotBeMeasuredIsOneLine() throws IOException {
    Path text = file("t.txt", TEXT);
    assertProblem("--window is 4 and --stride 5", () -> new PerplexityTask("p", text, 4, 5, 1));
    Path empty = file("e.txt", " \n");
    assertProblem(empty + ": holds no text", () -> new PerplexityTask("p", empty, 4, 4, 1));
    Path rows = file("r.jsonl", "{\"text\": \"a\"}\n{\"txt\": \"b\"}\n");
    assertProblem(
        rows + ":2: column 'text' is missing", () -> new PerplexityTask("p", rows, 4, 4, 1));
    Path latin = folder.resolve("l.txt");
    Files.write(latin, new byte[] {'a', (byte) 0xe4, 'b'});
    assertProblem(latin + ": not valid UTF-8", () -> new PerplexityTask("p", latin, 4, 4, 1));
    PerplexityTask wide = new PerplexityTask("p", text, 513, 513, 1);
    assertProblem("p: --window is 513, expected at most 512", () -> results(wide, 64));
    Path one = file("o.txt", "a");
    PerplexityTask single = new PerplexityTask("p", one, 4, 4, 1);
    assertProblem(one + ": a single token", () -> results(single, 64));
  }

  private static void assertProblem(String begin, Runnable run) {
    String message = assertThrows(InvalidInputException.class, run::run).getMessage();
    assertTrue(message.startsWith(begin), message);
  }
}
