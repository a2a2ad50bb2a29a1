package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.model.QuantizedCheckpointTest;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import picocli.CommandLine;

/** {@code nibble quantize}, and {@code nibble inspect} of models. */
class QuantizeCommandTest {
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private Path base;

  @TempDir Path temp;

  @BeforeEach
  void write() throws IOException {
    base = TinyChat.write(temp.resolve("base"));
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

  private String path(String name) {
    return temp.resolve(name).toString();
  }

  @Test
  void aBaseIsWrittenWithItsFiles() throws IOException {
    assertEquals(
        0, nibble("quantize", "--model", base.toString(), "--output", path("q")), err.toString());
    assertTrue(
        out.toString()
            .matches(
                "\\d+ linears in nf4, blocks of 64, double quantisation; 1 file, [\\d.]+ MB, in"
                    + " [\\d.]+ s; peak memory \\d+ MB\\R"),
        out.toString());
    assertEquals(
        -1, Files.mismatch(base.resolve("tokenizer.json"), temp.resolve("q/tokenizer.json")));
    assertTrue(nibble("inspect", path("q")) == 0, err.toString());
    assertTrue(
        out.toString().contains("quantised       nf4, blocks of 64, double quantisation"),
        out.toString());
  }

  @Test
  void optionsThatNothingFollowsAreRefused() {
    String[][] wrong = {
      {"--type", "int8", "--blocksize", "64"},
      {"--type", "int8", "--no-double-quant"},
      {"--threshold", "5"},
      {"--type", "nf5"},
      {"--blocksize", "48"},
      {"--compute-dtype", "int8"},
      {"--max-shard-size", "0GB"}
    };
    for (String[] options : wrong) {
      String[] args = new String[5 + options.length];
      args[0] = "quantize";
      args[1] = "--model";
      args[2] = base.toString();
      args[3] = "--output";
      args[4] = path("q");
      System.arraycopy(options, 0, args, 5, options.length);
      assertEquals(2, nibble(args), String.join(" ", options));
      assertTrue(
          err.toString().contains(options[options.length - 2 < 0 ? 0 : options.length - 2])
              || err.toString().contains(options[options.length - 1]),
          err.toString());
    }
    assertFalse(Files.exists(temp.resolve("q")));
  }

  @Test
  void aModelIsInspectedByItsHeaders() throws IOException {
    Path awq = QuantizedCheckpointTest.directory("awq");
    assertEquals(2, nibble("inspect", awq.toString(), "--json"), "it has no tokenizer");
    assertTrue(err.toString().contains("tokenizer.json does not exist"), err.toString());
    JsonNode json = new ObjectMapper().readTree(out.toString());
    assertEquals("LlamaForCausalLM", json.path("architecture").asText());
    assertEquals("AWQ, 4 bits, groups of 32", json.path("quantization").asText());
    JsonNode packed = json.path("weights").path("AWQ, 4 bits, groups of 32");
    assertEquals(13, packed.path("tensors").asInt());
    // 12 288 and 18 432 weights a layer, without one down_proj
    assertEquals(2 * (12288 + 18432) - 6144, packed.path("parameters").asInt());
    assertEquals(2, json.path("lora_targets").path("q_proj").asInt());
    assertTrue(json.path("tokenizer").asText().startsWith("none"), json.toString());
    assertEquals(0, nibble("inspect", base.toString()), err.toString());
    assertTrue(out.toString().contains("quantised       no"), out.toString());
    assertTrue(out.toString().contains("LoRA targets    q_proj ("), out.toString());
    assertEquals(2, nibble("inspect", base.toString(), "--set", "lora_r=3"));
    assertTrue(err.toString().contains("--set sets keys of a recipe"), err.toString());
  }
}
