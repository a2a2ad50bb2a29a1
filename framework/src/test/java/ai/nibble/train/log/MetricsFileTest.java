package ai.nibble.train.log;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.InvalidInputException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MetricsFileTest {
  @TempDir private Path directory;

  private Path file() {
    return directory.resolve("metrics.jsonl");
  }

  private static StepMetrics step(int step) {
    return new StepMetrics(step, 10, step / 4.0, 2.5, 2e-4, 0.75, 1000, 123456789L, 512L * step);
  }

  @Test
  void aStepIsALineInFixedOrder() throws Exception {
    try (MetricsFile metrics = MetricsFile.create(file())) {
      metrics.stepEnded(step(1));
      // before the file is closed: a reader beside the run sees the line
      assertEquals(
          "{\"step\":1,\"epoch\":0.25,\"loss\":2.5,\"learning_rate\":2.0E-4,\"grad_norm\":0.75,"
              + "\"tokens_per_second\":1000.0,\"memory\":123456789,\"tokens\":512}\n",
          Files.readString(file()));
      metrics.evaluated(new EvalMetrics(1, 0.25, 1.5, 99, 0.5));
      assertEquals(
          "{\"step\":1,\"epoch\":0.25,\"eval_loss\":1.5,\"eval_tokens\":99,\"eval_seconds\":0.5}",
          Files.readAllLines(file()).get(1));
      metrics.noticed(new RunNotice(1, RunNotice.Kind.NOT_FINITE, "step 1: loss NaN"));
      assertEquals(
          "{\"step\":1,\"notice\":\"not_finite\",\"text\":\"step 1: loss NaN\"}",
          Files.readAllLines(file()).get(2));
    }
  }

  @Test
  void whatIsNotFiniteIsAStringThatAnyStrictParserReads() throws Exception {
    try (MetricsFile metrics = MetricsFile.create(file())) {
      metrics.stepEnded(
          new StepMetrics(
              1, 2, 0, Double.NaN, 0, Double.POSITIVE_INFINITY, Double.NEGATIVE_INFINITY, 0, 0));
    }
    JsonNode json = new ObjectMapper().readTree(Files.readString(file()));
    assertEquals("NaN", json.get("loss").textValue());
    assertEquals("Infinity", json.get("grad_norm").textValue());
    assertEquals("-Infinity", json.get("tokens_per_second").textValue());
    assertTrue(Double.isNaN(Double.parseDouble(json.get("loss").textValue())));
  }

  @Test
  void resumingCutsOffWhatIsDoneAgain() throws Exception {
    try (MetricsFile metrics = MetricsFile.create(file())) {
      for (int s = 1; s <= 5; s++) {
        metrics.stepEnded(step(s));
      }
    }
    List<String> before = Files.readAllLines(file());
    try (MetricsFile metrics = MetricsFile.resume(file(), 3)) {
      metrics.stepEnded(step(4));
    }
    assertEquals(before.subList(0, 4), Files.readAllLines(file()));
  }

  @Test
  void resumingCutsOffATornLine() throws Exception {
    try (MetricsFile metrics = MetricsFile.create(file())) {
      metrics.stepEnded(step(1));
    }
    String whole = Files.readString(file());
    for (int length = 0; length < whole.length(); length++) {
      Files.writeString(file(), whole + whole.substring(0, length));
      MetricsFile.resume(file(), 9).close();
      assertEquals(whole, Files.readString(file()));
    }
  }

  @Test
  void resumingWithoutAFileBeginsOne() throws Exception {
    MetricsFile.resume(file(), 3).close();
    assertEquals(0, Files.size(file()));
  }

  @Test
  void aForeignFileIsLeftAsItIs() throws Exception {
    for (String foreign : List.of("hello\n", "{}\n", "[\"step\"]\n", "x".repeat(100_000) + "\n")) {
      Files.writeString(file(), foreign);
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> MetricsFile.resume(file(), 3));
      assertTrue(e.getMessage().startsWith(file() + ":1: not a line of metrics"));
      assertEquals(foreign, Files.readString(file()));
    }
  }

  @Test
  void anExistingFileIsNotOverwritten() throws Exception {
    Files.writeString(file(), "x");
    assertThrows(InvalidInputException.class, () -> MetricsFile.create(file()));
    assertEquals("x", Files.readString(file()));
  }

  @Test
  void aFullDiskIsNotSwallowed() throws Exception {
    Path full = Path.of("/dev/full");
    assumeTrue(Files.isWritable(full), "skipped: needs /dev/full, which Linux has");
    FileChannel channel = FileChannel.open(full, StandardOpenOption.WRITE);
    MetricsFile metrics = new MetricsFile(full, channel);
    UncheckedIOException e =
        assertThrows(UncheckedIOException.class, () -> metrics.stepEnded(step(1)));
    assertTrue(e.getMessage().startsWith("/dev/full cannot be written: "), e.getMessage());
    channel.close();
  }
}
