package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.recipe.RecipeLoader;
import ai.nibble.recipe.RecipeRun;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code nibble generate} on files, from options to answers. */
final class GenerationTest {
  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private int nibble(String... args) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    return Nibble.run(
        Nibble.commandLine((recipe, writer) -> 0, Generation::run)
            .setOut(new PrintWriter(out))
            .setErr(new PrintWriter(err)),
        args);
  }

  /** Trains until "a" is answered with "b". */
  private Path trained(String... more) throws IOException {
    TinyChat.write(temp.resolve("chat"));
    Files.writeString(
        temp.resolve("rows.jsonl"),
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"},"
            + " {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    Path recipe = temp.resolve("a.yaml");
    Files.writeString(
        recipe,
        "base_model: chat\ndatasets: [{path: rows.jsonl, type: messages}]\nlearning_rate: 0.02\n"
            + "lora_r: 4\nlora_dropout: 0\nbnb_4bit_compute_dtype: float32\nsequence_len: 64\nmax_steps: 40\noutput_dir: out\n"
            + String.join("\n", more));
    PrintStream nowhere = new PrintStream(OutputStream.nullOutputStream());
    new RecipeRun(RecipeLoader.load(recipe, List.of()), nowhere, false).run();
    return temp.resolve("out");
  }

  @Test
  void anAdapterAnswersOnTheBaseItWasTrainedOn() throws IOException {
    Path adapter = trained();
    assertEquals(0, nibble("generate", "--adapter", adapter.toString(), "--prompt", "a"));
    assertEquals("b" + System.lineSeparator(), out.toString());
    String said = err.toString();
    assertTrue(said.contains("note: base model " + temp.resolve("chat")), said);
    assertTrue(said.contains("note: base weights in nf4, blocks of 64, double quantisation"), said);
    assertTrue(said.strip().matches("(?s).*\\R1 tokens in .* tokens/s, ended by the model"), said);

    Path prompts = temp.resolve("prompts.jsonl");
    Files.writeString(
        prompts,
        "{\"prompt\": \"a\"}\n{\"messages\": [{\"role\": \"user\", \"content\": \"a\"}]}\n");
    assertEquals(
        0, nibble("generate", "--adapter", adapter.toString(), "--prompts", prompts.toString()));
    List<String> lines = out.toString().lines().toList();
    assertEquals(2, lines.size());
    for (String line : lines) {
      JsonNode json = new ObjectMapper().readTree(line);
      assertEquals("b", json.get("answer").asText());
      assertEquals("a", json.get("prompt").asText());
      assertEquals("stop", json.get("finish_reason").asText());
    }

    Files.move(temp.resolve("chat"), temp.resolve("moved"));
    assertEquals(2, nibble("generate", "--adapter", adapter.toString(), "--prompt", "a"));
    assertTrue(err.toString().contains("is not there: give it with --model DIR"), err.toString());
    String moved = temp.resolve("moved").toString();
    assertEquals(
        0, nibble("generate", "--adapter", adapter.toString(), "--model", moved, "--prompt", "a"));
    assertEquals("b", out.toString().strip());
  }

  @Test
  void anAdapterIsPromptedAndComputedAsItWasTrained() throws IOException {
    Path own = temp.resolve("own.jinja");
    Files.writeString(own, SmallTokenizer.CHATML.replace("<|im_start|>", "<|im_start|>= "));
    String template = Files.readString(own);
    Path adapter = trained("chat_template: own.jinja\n");
    Files.delete(own);
    assertEquals(template, Files.readString(adapter.resolve("chat_template.jinja")));
    assertEquals(0, nibble("generate", "--adapter", adapter.toString(), "--prompt", "a"));
    assertEquals("b", out.toString().strip());
    String said = err.toString();
    assertTrue(said.contains("note: compute dtype float32, as the adapter was trained"), said);
  }

  @Test
  void whatTheModelCannotGoOnFromIsSaidBeforeItsWeightsAreRead() throws IOException {
    Path chat = TinyChat.write(temp.resolve("chat"));
    Files.delete(chat.resolve("model.safetensors"));
    String model = chat.toString();
    Path prompts = temp.resolve("p.jsonl");
    Files.writeString(prompts, "{\"prompt\": \"a\"}\n{\"prompt\": \"" + "x".repeat(600) + "\"}\n");
    assertEquals(2, nibble("generate", "--model", model, "--prompts", prompts.toString()));
    assertTrue(err.toString().startsWith("error: " + prompts + ":2: the prompt has 6"));
    Path config = chat.resolve("config.json");
    Files.writeString(config, Files.readString(config).replace("259", "258"));
    assertEquals(2, nibble("generate", "--model", model, "--prompt", "a"));
    assertTrue(
        err.toString().startsWith("error: the tokenizer gives token id 258, but"), err.toString());
  }

  @Test
  void aBaseGoesOnFromRawTextUpToTheLimit() throws IOException {
    String model = TinyChat.write(temp.resolve("chat")).toString();
    int code =
        nibble("generate", "--model", model, "--raw", "--prompt", "xyz", "--max-new-tokens", "3");
    assertEquals(0, code, err.toString());
    assertTrue(err.toString().contains("tokens/s"), err.toString());
  }

  @Test
  void whatTheFilesShowIsOneLineAndExit2() throws IOException {
    String model = TinyChat.write(temp.resolve("chat")).toString();
    assertEquals(2, nibble("generate", "--model", temp + "/none", "--prompt", "a"));
    assertEquals(2, nibble("generate", "--model", model, "--prompts", temp + "/none.jsonl"));
    Path prompts = temp.resolve("p.jsonl");
    Files.writeString(prompts, "{\"prompt\": \"a\"}\n{\"question\": \"a\"}\n");
    assertEquals(2, nibble("generate", "--model", model, "--prompts", prompts.toString()));
    assertTrue(err.toString().contains("p.jsonl:2: column 'prompt' is missing"), err.toString());
    assertEquals(1, err.toString().lines().filter(l -> l.startsWith("error: ")).count());
  }
}
