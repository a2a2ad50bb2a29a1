package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.eval.ResultsFile.Key;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ResultsFileTest {
  private static final Key KEY = new Key("perplexity", "m", "nf4");
  private static final Map<String, String> SETTINGS = Map.of("window", "8", "stride", "8");

  @TempDir Path folder;

  private List<PerplexityTask.Result> begin(ResultsFile results, Map<String, String> settings) {
    return results.begin(KEY, settings, PerplexityTask.Result.class);
  }

  private Path written() {
    Path file = folder.resolve("r.jsonl");
    ResultsFile results = ResultsFile.open(file);
    assertEquals(List.of(), begin(results, SETTINGS));
    results.add(
        KEY, List.of(new PerplexityTask.Result(1.0 / 3, 7), new PerplexityTask.Result(2, 5)));
    return file;
  }

  @Test
  void whatWasAddedIsReadBackToTheLastBit() {
    assertEquals(
        List.of(new PerplexityTask.Result(1.0 / 3, 7), new PerplexityTask.Result(2, 5)),
        begin(ResultsFile.open(written()), SETTINGS));
  }

  @Test
  void measurementsAreKeptApart() {
    Path file = written();
    ResultsFile results = ResultsFile.open(file);
    Key other = new Key("perplexity", "m", "fp4");
    assertEquals(List.of(), results.begin(other, SETTINGS, PerplexityTask.Result.class));
    results.add(other, List.of(new PerplexityTask.Result(3, 1)));
    Cost cost = new Cost(1, 0.5, 2, 3, 4.25);
    results.putCost(other, cost);
    ResultsFile again = ResultsFile.open(file);
    assertEquals(2, begin(again, SETTINGS).size());
    assertEquals(1, again.begin(other, SETTINGS, PerplexityTask.Result.class).size());
    assertEquals(cost, again.cost(other).orElseThrow());
    assertTrue(again.cost(KEY).isEmpty());
  }

  @Test
  void aLineThatAKilledRunLeftUnfinishedIsTakenOff() throws IOException {
    Path file = written();
    long size = Files.size(file);
    Files.writeString(file, "{\"task\":\"perplexity\",\"mod", StandardOpenOption.APPEND);
    ResultsFile results = ResultsFile.open(file);
    assertEquals(2, begin(results, SETTINGS).size());
    assertEquals(size, Files.size(file));
    results.add(KEY, List.of(new PerplexityTask.Result(9, 9)));
    assertEquals(3, begin(ResultsFile.open(file), SETTINGS).size());
  }

  @Test
  void itemsWithoutTheLastOfTheirBatchAreTakenOff() throws IOException {
    Path file = written();
    List<PerplexityTask.Result> batch =
        List.of(new PerplexityTask.Result(3, 3), new PerplexityTask.Result(4, 4));
    ResultsFile.open(file).add(KEY, batch);
    List<String> lines = Files.readAllLines(file);
    assertEquals(5, lines.size());
    Files.writeString(file, String.join("\n", lines.subList(0, 4)) + "\n");
    ResultsFile results = ResultsFile.open(file);
    assertEquals(2, begin(results, SETTINGS).size());
    results.add(KEY, batch);
    assertEquals(lines, Files.readAllLines(file));
  }

  @Test
  void otherSettingsAreRefusedWithEachDifference() {
    Path file = written();
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> begin(ResultsFile.open(file), Map.of("window", "16", "stride", "4")));
    assertEquals(2, e.problems().size());
    assertEquals(
        file
            + ":1: perplexity of m, nf4: 'stride' was '8' and is now '4': give it as it was, or"
            + " another --results file",
        e.problems().get(0));
    assertTrue(e.problems().get(1).contains("'window' was '8' and is now '16'"));
  }

  @Test
  void whatIsNoResultIsNamedByItsLineAndLeftAlone() throws IOException {
    Path file = written();
    Files.writeString(file, "{\"item\": 3}\n", StandardOpenOption.APPEND);
    assertEquals(
        file + ":4: not a line of results: give another file",
        assertThrows(InvalidInputException.class, () -> ResultsFile.open(file)).getMessage());
    Path skips = folder.resolve("s.jsonl");
    Files.writeString(skips, Files.readAllLines(file).get(2) + "\n");
    assertTrue(
        assertThrows(InvalidInputException.class, () -> ResultsFile.open(skips))
            .getMessage()
            .startsWith(skips + ":1: expected settings, a cost, or the result of item 0"));
    Path foreign = folder.resolve("foreign");
    Files.writeString(foreign, "my only copy");
    assertThrows(InvalidInputException.class, () -> ResultsFile.open(foreign));
    assertEquals("my only copy", Files.readString(foreign));
  }

  @Test
  void aResultOfAnotherKindIsRefused() {
    Path file = written();
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> ResultsFile.open(file).begin(KEY, SETTINGS, ChoiceTask.Result.class));
    assertEquals(file + ":2: not a result of perplexity: give another file", e.getMessage());
  }

  @Test
  void inMemoryNothingIsWritten() {
    ResultsFile results = ResultsFile.inMemory();
    begin(results, SETTINGS);
    results.add(KEY, List.of(new PerplexityTask.Result(1, 1)));
    assertEquals(1, begin(results, SETTINGS).size());
    assertFalse(Files.exists(folder.resolve("r.jsonl")));
  }
}
