package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.ByteArrayOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ConsoleTest {
  private final ByteArrayOutputStream bytes = new ByteArrayOutputStream();
  private final AtomicLong nanos = new AtomicLong();

  private Console console(boolean interactive, int loggingSteps) {
    return console(interactive ? Console.COLUMNS : 0, loggingSteps);
  }

  private Console console(int columns, int loggingSteps) {
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    return new Console(out, columns, loggingSteps, nanos::get);
  }

  private String printed() {
    return bytes.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
  }

  private static StepMetrics step(int step, double loss) {
    return new StepMetrics(step, 300, 0, loss, 2e-4, 0.5123, 1234.4, 2254857830L, 0);
  }

  /** What a terminal shows: a carriage return begins the line anew. */
  private String screen() {
    StringBuilder screen = new StringBuilder();
    for (String line : printed().split("\n", -1)) {
      StringBuilder row = new StringBuilder();
      for (String part : line.split("\r", -1)) {
        row.replace(0, Math.min(part.length(), row.length()), part);
      }
      screen.append(row.toString().stripTrailing()).append('\n');
    }
    return screen.toString();
  }

  @Test
  void aStepIsALineInFixedOrder() {
    Console console = console(false, 1);
    console.runStarted(new RunInfo("a", 0, 300, ""));
    nanos.set(24_000_000_000L); // 2 s a step, 288 to go
    console.stepEnded(step(12, 1.23456));
    assertEquals(
        "run a: 300 steps\n"
            + "step 12/300  epoch 0.00  loss 1.2346  lr 2.00e-04  grad_norm 0.512  tokens/s 1234"
            + "  memory 2.1 GiB  tokens 0  ETA 9m36s\n",
        printed());
  }

  @Test
  void loggingStepsAndTheLastArePrinted() {
    Console console = console(false, 7);
    for (int s = 1; s <= 300; s++) {
      console.stepEnded(step(s, 1));
    }
    assertEquals(300 / 7 + 1, printed().lines().count());
    assertTrue(printed().startsWith("step 7/300"));
    assertTrue(printed().lines().reduce((a, b) -> b).orElseThrow().startsWith("step 300/300"));
    assertFalse(printed().contains("\r"));
  }

  @Test
  void theBarIsRedrawnInPlaceBelowTheLines() {
    Console console = console(true, 2);
    console.runStarted(new RunInfo("a", 0, 300, ""));
    nanos.set(1_000_000_000L);
    console.stepEnded(step(1, 1));
    assertEquals(
        "run a: 300 steps\n"
            + "[-----------------]   0%  1/300  loss 1.0000  1234 tokens/s  ETA 4m59s  2.1 GiB\n",
        screen());
    nanos.set(300_000_000_000L);
    console.stepEnded(step(150, 1));
    console.evaluated(new EvalMetrics(150, 0.5, 2, 77, 61));
    console.stepEnded(step(151, 1));
    console.saved(Path.of("out", "checkpoint-150"));
    console.noticed(new RunNotice(151, RunNotice.Kind.SPIKE, "step 151: loss 9.0, far above"));
    String[] lines = screen().split("\n");
    assertTrue(lines[1].startsWith("step 150/300"), lines[1]);
    assertEquals("eval at step 150  epoch 0.50  eval_loss 2.0000  tokens 77  took 1m01s", lines[2]);
    assertTrue(screen().contains("\nstep 151: loss 9.0, far above\n"), screen());
    assertEquals("saved " + Path.of("out", "checkpoint-150"), lines[3]);
    console.stepEnded(step(299, 1));
    assertTrue(screen().contains("#-]  99%  299/300  loss 1.0000  1234 tokens/s  ETA "), screen());
    console.stepEnded(step(300, 1));
    assertFalse(screen().contains("["), screen());
    printed().lines().forEach(line -> assertTrue(line.length() < 400));
  }

  @Test
  void theBarAndItsFiguresFitATerminal() {
    Console console = console(true, 1_000_000);
    for (int total : new int[] {3, 300, 99_999}) {
      console.runStarted(new RunInfo("a", 0, total, ""));
      nanos.addAndGet(3_000_000_000L);
      console.stepEnded(new StepMetrics(2, total, 0, 12.3456, 1, 1, 12345, 999L << 30, 0));
    }
    List<String> bars = screen().lines().filter(line -> line.startsWith("[")).toList();
    assertEquals(1, bars.size()); // the last; those before are gone from the screen
    for (String part : printed().split("[\r\n]")) {
      assertTrue(part.stripTrailing().length() < 80, part);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 2, 10, 20, 40, 60, 79, 80, 120})
  void onANarrowTerminalTheBarLeavesOutWhatDoesNotFit(int columns) {
    Console console = console(columns, 1_000_000);
    console.runStarted(new RunInfo("a", 0, 99_999, ""));
    int head = printed().length();
    for (int s = 1; s < 4; s++) {
      nanos.addAndGet(3_000_000_000L);
      console.stepEnded(
          new StepMetrics(s * 20_000, 99_999, 0, 12.3456, 1, 1, 12345, 999L << 30, 0));
    }
    for (String part : printed().substring(head).split("\r")) {
      assertTrue(part.length() < columns || part.isEmpty(), "'" + part + "' of " + columns);
    }
    String bar = screen().lines().reduce((a, b) -> b).orElseThrow();
    assertEquals(columns >= 10, bar.contains("60%"), bar);
    assertEquals(columns >= 79, bar.contains("ETA"), bar);
    assertEquals(columns >= 40, bar.contains("loss 12.3456"), bar);
  }

  /** The fields of a line, and of the same step or evaluation in metrics.jsonl. */
  @Test
  void aLineHasTheFieldsOfTheMetricsFileInTheirOrder(@TempDir Path directory) throws Exception {
    Console console = console(0, 1);
    Path file = directory.resolve("metrics.jsonl");
    try (MetricsFile metrics = MetricsFile.create(file)) {
      for (TrainListener listener : List.of(console, metrics)) {
        listener.stepEnded(step(12, 1.23456));
        listener.evaluated(new EvalMetrics(12, 0.5, 2, 77, 61));
      }
    }
    List<String> json = Files.readAllLines(file);
    String[] lines = printed().split("\n");
    List<String> step = new ArrayList<>(fields(lines[0]));
    assertEquals("ETA", step.remove(step.size() - 1)); // which nothing can be made of later
    assertEquals(keys(json.get(0)), step);
    assertEquals(keys(json.get(1)), fields(lines[1].replace("eval at step", "step")));
  }

  private static List<String> fields(String line) {
    Map<String, String> inFull =
        Map.of("lr", "learning_rate", "tokens/s", "tokens_per_second", "took", "eval_seconds");
    boolean isEval = line.contains("eval_loss");
    return Arrays.stream(line.split("  "))
        .map(field -> field.substring(0, field.indexOf(' ')))
        .map(name -> isEval && name.equals("tokens") ? "eval_tokens" : name)
        .map(name -> inFull.getOrDefault(name, name))
        .toList();
  }

  private static List<String> keys(String json) throws Exception {
    List<String> keys = new ArrayList<>();
    new ObjectMapper().readTree(json).fieldNames().forEachRemaining(keys::add);
    return keys;
  }

  @Test
  void whatRemainsIsToldByTheLastTwentySteps() {
    Console console = console(false, 1);
    console.runStarted(new RunInfo("a", 0, 300, ""));
    for (int s = 1; s <= 100; s++) { // a slow beginning
      nanos.addAndGet(9_000_000_000L);
      console.stepEnded(step(s, 1));
    }
    for (int s = 101; s <= 120; s++) {
      nanos.addAndGet(1_000_000_000L);
      console.stepEnded(step(s, 1));
    }
    String last = printed().lines().reduce((a, b) -> b).orElseThrow();
    assertTrue(last.contains("step 120/300") && last.contains("ETA 3m00s"), last);
  }

  @Test
  void aResumedRunTellsAndCountsOnlyItsOwnSteps() {
    Console console = console(false, 1);
    console.runStarted(new RunInfo("a", 200, 300, ""));
    nanos.set(10_000_000_000L);
    console.stepEnded(step(210, 1));
    assertTrue(printed().startsWith("run a: steps 201 to 300, resumed\n"));
    assertTrue(printed().contains("ETA 1m30s"), printed());
  }

  @Test
  void notANumberIsShown() {
    Console console = console(false, 1);
    console.stepEnded(step(1, Double.NaN));
    assertTrue(printed().contains("loss NaN"));
  }

  /** The failure's own words end the process's output, and are said there only. */
  @Test
  void theEndIsALine() {
    Console console = console(false, 1);
    console.runEnded(new RunEnd(7, 10, "failed: step 8: loss NaN, look at the rows of this step"));
    console.runEnded(new RunEnd(9, 70, "finished (2 steps not applied)"));
    assertEquals(
        "failed at step 7 after 10s, peak memory X\n"
            + "finished (2 steps not applied) at step 9 after 1m10s, peak memory X\n",
        printed().replaceAll("memory .*", "memory X"));
  }

  @Test
  void durationsAndSizesAreShort() {
    assertEquals("59s", Console.duration(59.4));
    assertEquals("1m00s", Console.duration(59.6));
    assertEquals("2h03m", Console.duration(7380));
    assertEquals("2d03h", Console.duration(2 * 86400 + 3 * 3600 + 59));
    assertEquals("1023 MiB", Console.bytes(1023L << 20));
    assertEquals("1.0 GiB", Console.bytes(1L << 30));
  }

  @Test
  void loggingStepsOfZeroIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> console(false, 0));
  }
}
