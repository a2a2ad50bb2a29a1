package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.safetensors.SafetensorsDirectory;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** The files of a merged model: shards and their index, what is copied, what was merged. */
class MergeOutputTest extends MergeFixture {
  @Test
  void whatWasMergedIsWrittenIntoTheOutput() throws IOException {
    Path base = base();
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    Quant4Config fp4 = new Quant4Config(Quant4Type.FP4, 64, false);
    Merge.run(
        request(base, Optional.of(fp4), Optional.empty(), weighted(adapter, 0.25)),
        notices::add,
        line -> {});
    JsonNode json = new ObjectMapper().readTree(out().resolve("merge.json").toFile());
    String weights = "fp4, blocks of 64, dequantised to float32";
    assertEquals(weights, json.get("base_weights").asText());
    assertEquals(base.toString(), json.get("base").asText());
    JsonNode entry = json.get("adapters").get(0);
    String sha = MergeRecord.sha256Of(adapter.resolve("adapter_model.safetensors"));
    assertEquals(sha, entry.get("sha256").asText());
    assertEquals(0.25, entry.get("weight").asDouble());
    assertTrue(json.get("proof").get("positions").asInt() > 0);
    try (SafetensorsDirectory files = SafetensorsDirectory.open(out())) {
      var metadata = files.files().get(0).metadata();
      assertEquals("pt", metadata.get("format"));
      assertEquals(weights, metadata.get("base_weights"));
      assertEquals("a sha256:" + sha + " weight 0.25", metadata.get("adapters"));
      assertTrue(metadata.containsKey("nibble_version"));
    }
  }

  @Test
  void filesBesideTheWeightsAreCopiedByteForByte() throws IOException {
    Path base = base();
    List<String> names = List.of("generation_config.json", "special_tokens_map.json", "vocab.json");
    for (String name : names) {
      Files.writeString(base.resolve(name), "{ \"of\":  \"" + name + "\"}\r\n");
    }
    Path template = Files.writeString(temp.resolve("own.jinja"), "{{ messages }}");
    MergeRequest plain =
        request(
            base,
            Optional.empty(),
            Optional.empty(),
            plain(TinyAdapter.plain(1).write(temp.resolve("a"))));
    Merge.run(
        new MergeRequest(
            base,
            plain.adapters(),
            Optional.empty(),
            Optional.empty(),
            plain.maxShardBytes(),
            Optional.of(template),
            Optional.empty(),
            false,
            out()),
        notices::add,
        line -> {});
    for (String name : names) {
      assertArrayEquals(
          Files.readAllBytes(base.resolve(name)), Files.readAllBytes(out().resolve(name)), name);
    }
    assertEquals("{{ messages }}", Files.readString(out().resolve("chat_template.jinja")));
  }

  @Test
  void shardsAreNoLargerThanAskedForAndTheIndexListsThem() throws IOException {
    Path base = base();
    MergeRequest whole =
        request(
            base,
            Optional.empty(),
            Optional.empty(),
            plain(TinyAdapter.plain(1).write(temp.resolve("a"))));
    int most = 2000;
    MergeReport report =
        Merge.run(
            new MergeRequest(
                base,
                whole.adapters(),
                Optional.empty(),
                Optional.empty(),
                most,
                Optional.empty(),
                Optional.empty(),
                false,
                out()),
            notices::add,
            line -> {});
    assertTrue(report.shards() > 3, report.shards() + " shards");
    JsonNode index =
        new ObjectMapper().readTree(out().resolve("model.safetensors.index.json").toFile());
    assertEquals(report.bytes(), index.get("metadata").get("total_size").asLong());
    try (SafetensorsDirectory files = SafetensorsDirectory.open(out())) {
      assertEquals(report.shards(), files.files().size());
      for (var file : files.files()) {
        long bytes = file.names().stream().mapToLong(name -> file.tensor(name).bytes()).sum();
        assertTrue(bytes <= most || file.names().size() == 1, file.path() + ": " + bytes);
      }
      assertEquals(index.get("weight_map").size(), files.names().size());
    }
  }

  @Test
  void anOutputThatExistsIsNotTouched() throws IOException {
    Files.createDirectories(out());
    Files.writeString(out().resolve("mine"), "mine");
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    Path base = base();
    String message =
        assertThrows(InvalidInputException.class, () -> merge(base, plain(adapter))).getMessage();
    assertEquals(
        out() + ": exists already, expected a new place: name another with --output", message);
    assertEquals("mine", Files.readString(out().resolve("mine")));
  }
}
