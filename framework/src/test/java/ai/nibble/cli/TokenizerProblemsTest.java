package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.generate.StopStrings;
import ai.nibble.recipe.RecipeRun;
import ai.nibble.tensor.Device;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a tokenizer that does not fit does to each command that encodes. */
class TokenizerProblemsTest {
  private static final String ROW =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"},"
          + " {\"role\": \"assistant\", \"content\": \"b\"}]}\n";

  private static final String PROMPT = "{\"prompt\": \"%s\"}\n";

  @TempDir Path temp;
  private Path chat;
  private Path rows;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  @BeforeEach
  void write() throws IOException {
    chat = TinyChat.write(temp.resolve("chat"));
    rows = Files.writeString(temp.resolve("rows.jsonl"), String.format(ROW, "a"));
    Files.writeString(
        temp.resolve("a.yaml"),
        "base_model: chat\ndatasets: [{path: rows.jsonl, type: messages}]\nlearning_rate: 0.01\n"
            + "sequence_len: 64\nmax_steps: 1\nlora_r: 4\noutput_dir: out\n");
  }

  private int run(String... args) {
    out.getBuffer().setLength(0);
    err.getBuffer().setLength(0);
    return Nibble.commandLine(
            (recipe, console) -> {
              new RecipeRun(recipe, new PrintStream(OutputStream.nullOutputStream()), false).run();
              return 0;
            },
            Generation::run)
        .setOut(new PrintWriter(out, true))
        .setErr(new PrintWriter(err, true))
        .execute(args);
  }

  private String prompts(String prompt) throws IOException {
    Path file = temp.resolve("prompts.jsonl");
    return Files.writeString(file, String.format(PROMPT, prompt)).toString();
  }

  private List<String> errors() {
    assertFalse(err.toString().contains("\tat "), err::toString);
    return err.toString().lines().filter(line -> line.startsWith("error: ")).toList();
  }

  private void assertRefuses(String says, String... args) {
    int code = run(args);
    assertEquals(2, code, () -> out + "\n" + err);
    assertEquals(1, errors().size(), err::toString);
    assertTrue(errors().get(0).contains(says), err::toString);
  }

  private String a() {
    return temp.resolve("a.yaml").toString();
  }

  /** The tokenizer has 259 tokens, the embedding 200 rows: control tokens have none. */
  @Test
  void aTokenWithoutARowOfTheEmbeddingIsRefusedByEachCommand() throws IOException {
    TinyChat.of("llama", Map.of("vocab_size", "200"), chat, 200);
    assertRefuses("token", "generate", "--model", chat.toString(), "--prompt", "a");
    String first = errors().get(0);
    assertTrue(first.contains("258") || first.contains("257"), first);
    assertRefuses("token", "generate", "--model", chat.toString(), "--prompts", prompts("a"));
    assertRefuses("'base_model': ", "train", "--config", a());
    assertRefuses("'base_model': ", "inspect", a());
    Path task = Files.writeString(temp.resolve("text.txt"), "日");
    assertRefuses("token", "evaluate", "--model", chat.toString(), "--task", "perplexity=" + task);
    assertEquals(0, run("inspect", chat.toString()), err::toString);
    assertTrue(
        out.toString().contains("259 tokens, of which the model knows those below 200"),
        out::toString);
  }

  @Test
  void aChatWithSuchATokenGoesOnWithoutTheTurn() throws IOException {
    TinyChat.of("llama", Map.of("vocab_size", "200"), chat, 200);
    ChatRequest request =
        new ChatRequest(
            new ModelRequest(
                Optional.of(chat), Map.of(), Optional.empty(), Optional.empty(), Device.CPU),
            new SamplingRequest(
                Map.of(), true, OptionalInt.of(1), OptionalLong.empty(), StopStrings.NONE),
            Optional.empty(),
            false);
    byte[] typed = "a\nb\n".getBytes(StandardCharsets.UTF_8);
    PrintWriter said = new PrintWriter(out, true);
    PrintWriter told = new PrintWriter(err, true);
    Chat.run(request, new Terminal(new ByteArrayInputStream(typed), said, told, false));
    assertEquals(2, errors().size(), err::toString);
    assertTrue(errors().get(0).contains("; /reset begins a new conversation"), err::toString);
    assertEquals("", out.toString());
  }

  @Test
  void aGenerationConfigThatCannotBeReadIsAFaultOfTheModel() throws IOException {
    Files.writeString(chat.resolve("generation_config.json"), "[1,2");
    assertRefuses("generation_config.json: line 1", "inspect", chat.toString());
  }

  @Test
  void aTokenizerThatCannotBeUsedIsAFaultOfTheModel() throws IOException {
    Path tokenizer = chat.resolve("tokenizer.json");
    String good = Files.readString(tokenizer);
    Files.writeString(tokenizer, good.replace("\"model\":", "\"x\":"));
    assertRefuses("tokenizer.json: 'model' has no 'vocab'", "inspect", chat.toString());
    assertTrue(out.toString().contains("tokenizer       cannot be used"), out::toString);
    assertRefuses("'model' has no 'vocab'", "inspect", chat.toString(), "--json");
    assertTrue(out.toString().contains("\"problems\" : [ \""), out::toString);
    Files.delete(tokenizer);
    assertRefuses("tokenizer.json does not exist", "inspect", chat.toString());
    Files.writeString(chat.resolve("tokenizer.model"), "x");
    for (String[] args :
        new String[][] {
          {"inspect", chat.toString()},
          {"generate", "--model", chat.toString(), "--prompt", "a"}
        }) {
      assertRefuses("has only tokenizer.model, expected tokenizer.json: convert it once", args);
    }
    assertEquals(2, run("train", "--config", a()), err::toString);
    Files.writeString(tokenizer, good);
    Files.writeString(chat.resolve("chat_template.jinja"), "{% if %}");
    assertRefuses("chat_template.jinja", "inspect", chat.toString());
    Files.delete(chat.resolve("chat_template.jinja"));
    assertEquals(0, run("inspect", chat.toString()), err::toString);
    assertTrue(out.toString().contains("none: conversations need one"), out::toString);
  }

  @Test
  void whatIsNotThereIsToldHowToGet() {
    String none = "there is no such recipe or model";
    assertRefuses("no/such/model/x: " + none + ", expected", "inspect", "no/such/model/x");
    assertRefuses(none + ", nor one of that id in the cache", "inspect", "org/none");
    assertRefuses("fetch it with 'nibble download org/none'", "inspect", "org/none");
    assertRefuses("none.gguf", "inspect", "none.gguf");
    assertRefuses("'none.yaml' is not there", "inspect", "none.yaml");
  }

  @Test
  void halfOfASurrogatePairIsRefusedAndNulIsAByte() throws IOException {
    Files.writeString(rows, String.format(ROW, "\\u0000 a"));
    assertEquals(0, run("inspect", a()), err::toString);
    assertTrue(out.toString().contains("␀ a<|im_end|>"), out::toString);
    Files.writeString(rows, String.format(ROW, "x\\ud800"));
    assertRefuses("unpaired surrogate U+D800", "inspect", a());
    assertTrue(errors().get(0).contains("rows.jsonl:1"), err::toString);
    String model = chat.toString();
    assertRefuses(
        "unpaired surrogate", "generate", "--model", model, "--prompts", prompts("x\\ud800"));
    assertRefuses("unpaired surrogate U+DC00", "generate", "--model", model, "--prompt", "\udc00");
    String json = Files.readString(chat.resolve("tokenizer_config.json"));
    Files.writeString(chat.resolve("tokenizer_config.json"), json.replace("<s>", "\\udc00"));
    assertRefuses("'bos_token' is '", "generate", "--model", model, "--prompt", "a");
  }

  @Test
  void aMillionSpacesAreAMillionTokensTooMany() throws IOException {
    Files.writeString(rows, String.format(ROW, " ".repeat(1_000_000)));
    assertRefuses("sequence_len", "inspect", a());
    assertTrue(errors().get(0).contains("1000"), err::toString);
    assertRefuses(
        "max_position_embeddings",
        "generate",
        "--model",
        chat.toString(),
        "--prompts",
        prompts("a" + " ".repeat(1_000_000)));
  }

  @Test
  void dropoutIsNotFollowedAndThatIsSaid() throws IOException {
    Path tokenizer = chat.resolve("tokenizer.json");
    Files.writeString(
        tokenizer, Files.readString(tokenizer).replace("\"dropout\":null", "\"dropout\":0.3"));
    String line = "'dropout' is 0.3, not followed: a text has the same tokens each time";
    String[][] commands = {
      {"inspect", chat.toString()},
      {"generate", "--model", chat.toString(), "--prompt", "a", "--max-new-tokens", "1"},
      {"inspect", a()}
    };
    for (String[] args : commands) {
      assertEquals(0, run(args), err::toString);
      String all = err.toString() + out;
      assertEquals(1, all.lines().filter(each -> each.contains(line)).count(), all);
    }
  }

  /** The turn's end is the padding token too, and is trained all the same. */
  @Test
  void whereAnswersEndIsSaidBeforeTraining() throws IOException {
    assertEquals(0, run("inspect", a(), "--rows", "1"), err::toString);
    assertTrue(out.toString().contains("⟦b<|im_end|>⟧"), out::toString);
    assertFalse(out.toString().contains("no end of turn is taught"), out::toString);
    Files.writeString(chat.resolve("generation_config.json"), "{\"eos_token_id\": 65}");
    assertEquals(0, run("inspect", a()), err::toString);
    String all = err.toString() + out;
    assertTrue(all.contains("turns end with <|im_end|>, which the base's eos_token_id [65]"), all);
    Files.writeString(
        chat.resolve("chat_template.jinja"),
        "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
    assertEquals(0, run("inspect", a()), err::toString);
    all = err.toString() + out;
    assertTrue(all.contains("no end of turn is taught"), all);
  }
}
