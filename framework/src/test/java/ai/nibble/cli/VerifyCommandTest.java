package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.FileSum;
import ai.nibble.report.Environment;
import ai.nibble.report.ProvenanceFile;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** {@code nibble verify} and {@code nibble report}: what they print and how they exit. */
final class VerifyCommandTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private Path adapter;

  @BeforeEach
  void writeFiles() throws IOException {
    adapter = Files.createDirectory(temp.resolve("adapter"));
    Files.writeString(adapter.resolve("adapter_model.safetensors"), "weights");
    Path gguf = Files.writeString(temp.resolve("base.gguf"), "base");
    Path config = Files.writeString(temp.resolve("config.json"), "{}");
    Path rows = Files.writeString(temp.resolve("rows.jsonl"), "rows");
    FileSum rowSum = FileSum.of(rows);
    new ProvenanceFile(
            ProvenanceFile.VERSION,
            "a",
            3,
            3,
            99,
            "2026-01-01T00:00:00Z",
            "2026-01-01T00:01:00Z",
            List.of(),
            Map.of(),
            42,
            "float32",
            new Environment("0.1", "", "2.7.1", "17", "Linux", "", 0, 2, "cpu", ""),
            new ProvenanceFile.Base(
                gguf.toString(),
                Map.of("base.gguf", FileSum.of(gguf), "config.json", FileSum.of(config))),
            List.of(
                new ProvenanceFile.Data(
                    "datasets.0", rows.toString(), rowSum.bytes(), rowSum.sha256())),
            Map.of(),
            new ObjectMapper().createObjectNode(),
            Map.of(
                "adapter_model.safetensors",
                FileSum.of(adapter.resolve("adapter_model.safetensors"))))
        .write(adapter);
  }

  private int nibble(String... args) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    CommandLine command =
        Nibble.commandLine((recipe, writer) -> 0, (request, out, err) -> {})
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err));
    return Nibble.run(command, args);
  }

  @Test
  void allThatIsAsItWasExitsWithZero() {
    assertEquals(0, nibble("verify", adapter.toString()), err.toString());
    assertTrue(out.toString().endsWith("all 4 files are as they were\n"), out.toString());
    assertEquals(4, out.toString().lines().filter(line -> line.startsWith("ok ")).count());
  }

  @Test
  void aChangeExitsWithOneAndSaysWhat() throws Exception {
    Files.writeString(temp.resolve("config.json"), "[]");
    Files.delete(temp.resolve("rows.jsonl"));
    assertEquals(1, nibble("verify", adapter.toString()));
    String printed = out.toString();
    assertTrue(
        printed.contains(
            "changed  base    " + temp.resolve("config.json") + ": has another SHA-256, expected "),
        printed);
    assertTrue(
        printed.contains(
            "missing  data    datasets.0  " + temp.resolve("rows.jsonl") + ": is missing"),
        printed);
    assertTrue(printed.endsWith("2 of 4 files are not as they were\n"), printed);
    assertEquals(0, nibble("verify", adapter.toString(), "--skip-base", "--skip-data"));
  }

  @Test
  void jsonHasAnItemForEachFile() throws Exception {
    Files.writeString(temp.resolve("base.gguf"), "other");
    assertEquals(1, nibble("verify", adapter.toString(), "--json"));
    JsonNode json = new ObjectMapper().readTree(out.toString());
    assertFalse(json.get("ok").asBoolean());
    assertEquals(4, json.get("items").size());
    int changed = 0;
    for (JsonNode item : json.get("items")) {
      if (item.get("state").asText().equals("changed")) {
        changed++;
        assertEquals("base", item.get("part").asText());
        assertEquals("base.gguf", item.get("name").asText());
        assertEquals("has 5 bytes, expected 4", item.get("detail").asText());
      }
    }
    assertEquals(1, changed);
  }

  @Test
  void placesThatMovedAreNamed() throws Exception {
    Path moved = Files.createDirectory(temp.resolve("moved"));
    for (String name : List.of("base.gguf", "config.json", "rows.jsonl")) {
      Files.move(temp.resolve(name), moved.resolve(name));
    }
    Files.move(moved.resolve("base.gguf"), moved.resolve("renamed.gguf"));
    assertEquals(1, nibble("verify", adapter.toString()));
    String base = moved.resolve("renamed.gguf").toString();
    String[] folder = {"verify", adapter.toString(), "--base", base, "--data", moved.toString()};
    assertEquals(0, nibble(folder), out.toString());
    String rows = "datasets.0=" + moved.resolve("rows.jsonl");
    assertEquals(0, nibble("verify", adapter.toString(), "--base", base, "--data", rows));
    assertEquals(2, nibble("verify", adapter.toString(), "--data", "train=" + moved));
    assertTrue(
        err.toString().contains("expected a directory, or KEY=FILE with one of [datasets.0]"),
        err.toString());
  }

  @Test
  void whatHasNoProvenanceIsBadInput() {
    assertEquals(2, nibble("verify", temp.toString()));
    assertTrue(err.toString().contains("has no provenance.json"), err.toString());
  }

  @Test
  void aReportIsMadeOfAMetricsFileAlone() throws Exception {
    Files.writeString(adapter.resolve("metrics.jsonl"), "{\"step\":1,\"loss\":2.5}\n");
    assertEquals(0, nibble("report", adapter.toString()), err.toString());
    assertEquals("report " + adapter.resolve("report.html") + "\n", out.toString());
    assertTrue(Files.readString(adapter.resolve("report.html")).contains("Training loss"));
    assertEquals(2, nibble("report", temp.toString()));
    assertTrue(err.toString().contains("has neither run.json nor metrics.jsonl"), err.toString());
  }
}
