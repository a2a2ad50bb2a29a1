package ai.nibble.report;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.EncodingSummary;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ReportTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** What a row may hold to break out of where it stands. */
  private static final String ATTACK =
      "</script><script>alert(1)</script>\"'><img src=x onerror=y>&";

  @TempDir private Path directory;

  private static Environment environment() {
    return new Environment("0.1", "", "2.7.1", "17", "Linux", "a <b>", 1L << 33, 2, "cpu", "");
  }

  private RunFile run(String status) {
    EncodingSummary encoding = new EncodingSummary(10, 8, 900, 300, 128, 500, 1, 0, 1, 0, 0, 0, 0);
    return new RunFile(
        RunFile.VERSION,
        "a " + ATTACK,
        100,
        environment(),
        new RunFile.Model(
            "/models/" + ATTACK,
            "qlora",
            2,
            1 << 20,
            14,
            5000,
            "float32",
            new RunFile.Vocabulary(
                Map.of("<tool>" + ATTACK, 7), Map.of("embed_tokens", List.of(7)), null)),
        List.of(new RunFile.Data("datasets.0", "/rows " + ATTACK, encoding, 2.5)),
        Lengths.of(new int[] {5, 7, 128}),
        8,
        0,
        List.of(
            new RunFile.Session(0, 40, "2026-01-02T03:04:05Z", 60, "stopped", 1 << 30),
            new RunFile.Session(40, 100, "2026-01-03T03:04:05Z", 90, status, 1 << 30)));
  }

  private void metrics(int steps) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (int step = 1; step <= steps; step++) {
      lines.append(
          "{\"step\":%d,\"epoch\":%f,\"loss\":%s,\"learning_rate\":2.0E-4,\"grad_norm\":0.75,\"tokens_per_second\":%d,\"memory\":123456789,\"tokens\":%d}\n"
              .formatted(
                  step,
                  step / 50.0,
                  step == 7 ? "\"NaN\"" : "" + (1 + 1000.123456789 / step),
                  900 + step % 100,
                  512L * step));
      if (step % 1000 == 0 || step == steps) {
        lines.append("{\"step\":" + step + ",\"epoch\":1,\"eval_loss\":1.5}\n");
      }
    }
    Files.writeString(directory.resolve("metrics.jsonl"), lines + "{\"step\":9,\"lo");
  }

  private void answers(int rows, String text) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < rows; i++) {
      ObjectNode row = JSON.createObjectNode();
      row.put("request", i + text).put("expected", text);
      row.put("before", text).put("before_exact", false);
      row.put("after", text).put("after_exact", i % 2 == 0);
      lines.append(row).append('\n');
    }
    // half a character, as JSON can spell it
    Files.writeString(
        directory.resolve("answers.jsonl"), lines.toString().replace("HALF", "\\ud800"));
  }

  private String page() throws IOException {
    return Files.readString(Report.write(directory));
  }

  private JsonNode curves(String page) throws IOException {
    String begin = "<script type=\"application/json\" id=\"curves-data\">";
    int from = page.indexOf(begin) + begin.length();
    return JSON.readTree(page.substring(from, page.indexOf("</script>", from)));
  }

  @Test
  void aWeightOfADataSetIsShown() throws Exception {
    run("finished").write(directory);
    assertTrue(page().contains("<small>datasets.0, weight 2.500</small>"), page());
  }

  @Test
  void nothingThatARowHoldsIsMarkup() throws Exception {
    run("failed: " + ATTACK).write(directory);
    metrics(20);
    answers(4, ATTACK + "\u0000HALF");
    Files.writeString(directory.resolve("recipe.yaml"), "base_model: " + ATTACK + "\n");
    String page = page();
    assertFalse(page.contains("<img"), page);
    assertFalse(page.contains("alert(1)</script>"), page);
    // the data, and the one that draws it
    assertEquals(2, Pattern.compile("<script").matcher(page).results().count());
    assertEquals(2, Pattern.compile("</script").matcher(page).results().count());
    assertTrue(page.contains("3&lt;/script&gt;&lt;script&gt;alert(1)"), page);
    assertTrue(page.contains("a &lt;b&gt;"), page);
    assertTrue(page.contains("&amp;\ufffd\ufffd"), page);
    for (String where : List.of("<h1>a ", "reason\">", "<title>a ", "base_model: ", "/rows ")) {
      assertTrue(page.contains(where + "&lt;/script"), where);
    }
  }

  @Test
  void noScriptButOursMayRunAndNothingIsFetched() throws Exception {
    run(RunFile.FINISHED).write(directory);
    metrics(20);
    String page = page();
    for (String element : List.of("style", "script")) {
      Matcher body = Pattern.compile("(?s)<" + element + ">(.*?)</" + element + ">").matcher(page);
      assertTrue(body.find());
      byte[] sum =
          MessageDigest.getInstance("SHA-256")
              .digest(body.group(1).getBytes(StandardCharsets.UTF_8));
      String source = "'sha256-" + Base64.getEncoder().encodeToString(sum) + "'";
      assertTrue(page.contains(element + "-src " + source + ";"), source);
    }
    assertTrue(page.contains("default-src 'none'"));
    String markup = page.replaceAll("(?s)<(script|style)[ >].*?</\\1>", "");
    // a policy without 'unsafe-inline' takes no styles or handlers in attributes
    assertFalse(Pattern.compile("<[^>]+ (style|src|href|on\\w+)=").matcher(markup).find());
    String code = page.substring(page.indexOf("<style>"), page.indexOf("</style>"));
    code += page.substring(page.lastIndexOf("<script>"));
    code = code.replace("http://www.w3.org/2000/svg", "");
    assertFalse(
        Pattern.compile("//\\w|url\\(|@import|fetch\\(|XMLHttp|Beacon|Socket")
            .matcher(code)
            .find());
  }

  @Test
  void aLongRunsPageIsBelowAMegabyte() throws Exception {
    run(RunFile.FINISHED).write(directory);
    metrics(100_000);
    answers(2000, "\"<&>\" ".repeat(2000));
    Files.writeString(directory.resolve("recipe.yaml"), "# \"\n".repeat(200_000));
    for (int step = 1; step <= 150; step++) {
      Files.createDirectory(directory.resolve("checkpoint-" + step));
    }
    String page = page();
    assertTrue(page.length() < 1_000_000, page.length() + " characters");
    assertTrue(page.contains("Wrong after training (1000; the first "), "answers are counted");
    assertEquals(100_000, curves(page).at("/loss/curves/1/x/" + (size(page) - 1)).asInt());
  }

  private int size(String page) throws IOException {
    return curves(page).at("/loss/curves/1/x").size();
  }

  @Test
  void curvesHoldWhatWasMeasured() throws Exception {
    metrics(30);
    JsonNode curves = curves(page());
    JsonNode loss = curves.get("loss");
    assertEquals(30, loss.at("/curves/0/y").size());
    assertTrue(loss.at("/curves/0/y/6").isNull(), "not a number");
    assertEquals(1001.12, loss.at("/curves/0/y/0").asDouble());
    assertEquals("eval", loss.at("/curves/2/kind").asText());
    assertEquals(1.5, loss.at("/curves/2/y/0").asDouble());
    assertTrue(loss.get("log").asBoolean(), "from 1001 to 34");
    assertEquals(2e-4, curves.at("/learning_rate/curves/0/y/3").asDouble());
    assertEquals("bytes", curves.at("/memory/unit").asText());
  }

  @Test
  void whatHappenedIsSaid() throws Exception {
    metrics(100);
    run(RunFile.FINISHED).write(directory);
    answers(4, "x");
    String page = page();
    assertTrue(page.contains("Finished · step 100 of 100"), page);
    assertTrue(page.contains("2 January 2026, 03:04 UTC"), page);
    assertTrue(page.contains("2m30s"), "both sessions: " + page);
    assertTrue(page.contains("Exact match</dt><dd>50.0 %"), page);
    assertTrue(page.contains("1 row left out: longer than sequence_len; 1 row left out: no token"));
    assertTrue(page.contains("33.3 %"), "300 of 900 tokens");
    run(RunFile.RUNNING).write(directory);
    assertTrue(page().contains("Not ended · step 100 of 100"));
  }

  @Test
  void aRunOfAnEarlierVersionHasAPage() throws Exception {
    metrics(3);
    String page = page();
    assertTrue(page.contains("<h1>" + directory.getFileName() + "</h1>"), page);
    assertTrue(page.contains("step 3<"), page);
  }

  @Test
  void aRunThatFailedAtOnceHasAPageWithoutCurves() throws Exception {
    run("failed before the first step").write(directory);
    String page = page();
    assertTrue(page.contains("Failed before the first step · step 0 of 100"), page);
    assertFalse(page.contains("<figure"), page);
  }

  @Test
  void whatIsNoRunIsRefused() throws Exception {
    Exception e = assertThrows(InvalidInputException.class, () -> Report.write(directory));
    assertEquals(
        directory
            + " has neither run.json nor metrics.jsonl: expected the output_dir of 'nibble train'",
        e.getMessage());
    Files.writeString(directory.resolve("run.json"), "{\"version\": 1,\n  \"name\": }");
    e = assertThrows(InvalidInputException.class, () -> Report.write(directory));
    assertTrue(e.getMessage().startsWith(directory.resolve("run.json") + ":2:"), e.getMessage());
    Files.writeString(directory.resolve("run.json"), "{\"version\": 2}");
    e = assertThrows(InvalidInputException.class, () -> Report.write(directory));
    assertTrue(e.getMessage().contains("expected version 1"), e.getMessage());
    assertFalse(Files.exists(directory.resolve("report.html")));
  }

  @Test
  void aRunFileIsReadAsItWasWritten() throws Exception {
    run(RunFile.FINISHED).write(directory);
    assertEquals(run(RunFile.FINISHED), RunFile.read(directory).orElseThrow());
    JsonNode json = JSON.readTree(Files.readString(directory.resolve("run.json")));
    assertEquals(100, json.get("total_steps").asInt());
    assertEquals(300, json.at("/data/0/encoding/loss_tokens").asInt());
  }
}
