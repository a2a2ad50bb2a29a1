package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.model.TinyModel;
import ai.nibble.recipe.Recipe;
import ai.nibble.recipe.RecipeLoader;
import ai.nibble.recipe.RecipeRun;
import ai.nibble.recipe.TokenText;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** On a model of bytes: a token is a character, but for the control tokens. */
class InspectCommandTest {
  private static final String RECIPE =
      """
      base_model: chat
      datasets: [{path: rows.jsonl, type: messages}]
      learning_rate: 0.01
      sequence_len: 80
      lora_r: 4
      lora_target_modules: [q_proj, down_proj]
      output_dir: out
      """;

  private static final List<String> ROWS =
      List.of(
          row("hi", "yes"), row("and this?", "no,\\nthat"), row("\\u001b[31m red", "ok \\u0007"));

  @TempDir Path temp;
  private final StringWriter out = new StringWriter();
  private final StringWriter err = new StringWriter();

  private static String row(String user, String assistant) {
    return "{\"messages\": [{\"role\": \"user\", \"content\": \""
        + user
        + "\"}, {\"role\": \"assistant\", \"content\": \""
        + assistant
        + "\"}]}";
  }

  @BeforeEach
  void writeARecipe() throws IOException {
    TinyChat.write(temp.resolve("chat"));
    Files.write(temp.resolve("rows.jsonl"), ROWS);
    Files.writeString(temp.resolve("a.yaml"), RECIPE);
  }

  private int inspect(String... more) {
    String[] args =
        Stream.of(List.of("inspect", temp.resolve("a.yaml").toString()), Arrays.asList(more))
            .flatMap(List::stream)
            .toArray(String[]::new);
    return Nibble.commandLine((recipe, console) -> 0, (request, console, err) -> {})
        .setOut(new PrintWriter(out, true))
        .setErr(new PrintWriter(err, true))
        .execute(args);
  }

  private void assertSays(String line) {
    assertTrue(out.toString().lines().anyMatch(line::equals), line + "\nin\n" + out);
  }

  @Test
  void itTellsWhatIsTrainedAndOnWhat() {
    assertEquals(0, inspect("--rows", "2"), err::toString);
    assertSays("model           chat: 2 layers, 9,252 weights");
    assertSays("adapter         4 of 14 linears, 544 parameters, 5.55 % of base and adapter");
    assertSays("  q_proj        2 of 2, r 4, 288");
    assertSays("  k_proj        0 of 2");
    assertSays("  down_proj     2 of 2, r 4, 256");
    assertSays("rows            3 to train on, 0 to evaluate on");
    assertSays(
        "                rows.jsonl: 3 examples of 3 rows, 98 tokens, 18 with loss, longest row 38");
    assertSays("tokens          98, of which 18 carry loss (18.4 %)");
    assertSays("lengths         26 to 38, median 34, 95 % up to 38; sequence_len 80");
    assertSays("                28 to 29  0");
    assertSays("                34 to 35  ######################################## 1");
    assertSays("too long        0 left out, 0 cut");
    assertSays("trained turns   3, ending in <|im_end|> (3)");
    assertSays("begin           with <s>: 0 rows; twice: 0");
    assertSays("steps           3 an epoch, 3 in all");
    assertFalse(out.toString().contains("packing"), out::toString);
    assertFalse(out.toString().contains("warning"), out::toString);
    String shown =
        """

        row 1: 26 tokens, 4 carry loss, ⟦these⟧
        <|im_start|>user↵
        hi<|im_end|>↵
        <|im_start|>assistant↵
        ⟦yes<|im_end|>⟧↵

        row 2: 38 tokens, 9 carry loss, ⟦these⟧
        <|im_start|>user↵
        and this?<|im_end|>↵
        <|im_start|>assistant↵
        ⟦no,↵
        that<|im_end|>⟧↵
        """;
    assertTrue(out.toString().endsWith(shown), out::toString);
  }

  @Test
  void programsAreToldTheSame() throws IOException {
    assertEquals(0, inspect("--json", "--rows", "1", "--set", "sample_packing=true"));
    JsonNode json = new ObjectMapper().readTree(out.toString());
    assertEquals(544, json.at("/trained/parameters").asInt());
    assertEquals(9252, json.at("/trained/base_parameters").asInt());
    assertEquals(544 / 9796.0, json.at("/trained/share").asDouble(), 1e-12);
    assertEquals(7, json.at("/trained/modules").size());
    assertEquals("q_proj", json.at("/trained/modules/0/name").asText());
    assertEquals(4, json.at("/trained/modules/0/ranks/0").asInt());
    assertEquals(98, json.at("/rows/tokens").asInt());
    assertEquals(18, json.at("/rows/loss_tokens").asInt());
    assertEquals(38, json.at("/lengths/longest").asInt());
    int rows = 0;
    for (JsonNode bin : json.at("/lengths/histogram")) {
      rows += bin.get("rows").asInt();
    }
    assertEquals(3, rows);
    assertEquals(3, json.at("/turns/ends/<|im_end|>").asInt());
    assertEquals(2, json.at("/packing/packs").asInt());
    assertEquals(98 / 160.0, json.at("/packing/fill").asDouble(), 1e-12);
    assertEquals(2, json.at("/steps/total").asInt());
    assertEquals(1, json.at("/samples").size());
    StringBuilder text = new StringBuilder();
    StringBuilder trained = new StringBuilder();
    for (JsonNode token : json.at("/samples/0")) {
      text.append(token.get("text").asText());
      trained.append(token.get("trained").asBoolean() ? token.get("text").asText() : "");
    }
    assertEquals(
        "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nyes<|im_end|>\n", text.toString());
    assertEquals("yes<|im_end|>", trained.toString());
    assertTrue(json.at("/samples/0/0/control").asBoolean());
  }

  @Test
  void aTerminalGetsColoursAndNothingThatItWouldObey() {
    StringWriter written = new StringWriter();
    new SampleText(new PrintWriter(written, true), true)
        .print(
            List.of(
                List.of(
                    new TokenText(1, "<s>", false, true),
                    new TokenText(2, "\u001b[2J\u0007", false, false),
                    new TokenText(3, "a\u009b", true, false),
                    new TokenText(4, "</s>", true, true))),
            false);
    String text = written.toString().lines().reduce((a, b) -> b).orElseThrow();
    assertEquals(
        "\u001b[35m<s>\u001b[0m\u001b[2m␛[2J␇\u001b[0m\u001b[32ma\uFFFD\u001b[0m"
            + "\u001b[1;32m</s>\u001b[0m",
        text);
    assertEquals(0, inspect());
    assertFalse(out.toString().contains("\u001b"), "no terminal, no codes");
    assertTrue(out.toString().contains("␛[31m red"), out::toString);
    // without a console, as here, nothing else is asked
    assertFalse(Terminal.takesColours(Map.of()));
  }

  @Test
  void turnsWithoutAnEndAndADoubledBeginningAreWarnedOf() throws IOException {
    Files.writeString(
        temp.resolve("chat/chat_template.jinja"),
        "<s><s>{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}");
    assertEquals(0, inspect("--rows", "0"), err::toString);
    assertSays("begin           with <s>: 3 rows; twice: 3");
    assertSays("trained turns   3");
    String text = out.toString();
    assertTrue(text.contains("warning: 3 of 3 trained turns end in no control token, "), text);
    assertTrue(text.contains("warning: 3 rows begin with <s> twice: take it out of "), text);
    assertFalse(text.contains("row 1:"), text);
  }

  @Test
  void cutRowsAreCountedAndTheirTurnsHaveNoEnd() {
    assertEquals(
        0,
        inspect(
            "--set",
            "sequence_len=32",
            "--set",
            "excess_length_strategy=truncate",
            "--set",
            "excess_length_limit=1"),
        err::toString);
    assertSays("too long        0 left out, 2 cut");
    assertTrue(out.toString().contains("warning: 2 of 3 trained turns end in no"), out::toString);
  }

  private List<String> refusedByTraining() {
    PrintStream nowhere =
        new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8);
    return assertThrows(
            InvalidInputException.class,
            () -> {
              Recipe recipe = RecipeLoader.load(temp.resolve("a.yaml"), List.of());
              new RecipeRun(recipe, nowhere, false).run();
            })
        .problems();
  }

  /** In training's own words: what it finds in the rows, and by itself what it finds later. */
  @Test
  void whatTrainingWouldRefuseIsRefused() throws IOException {
    Files.writeString(temp.resolve("rows.jsonl"), "{\"messages\": []}\n{\"a\": 1}\n");
    List<String> rows = refusedByTraining();
    assertEquals(2, rows.size(), rows::toString);
    assertRefuses(rows);
    Files.write(temp.resolve("rows.jsonl"), ROWS);

    Files.writeString(temp.resolve("a.yaml"), RECIPE + "rank_pattern: {down_proj: 13}\n");
    List<String> rank = refusedByTraining();
    assertEquals(
        List.of(
            temp.resolve("a.yaml")
                + ":8:15: 'rank_pattern' is 13 for 'model.layers.0.mlp.down_proj', whose weight has"
                + " only rank 12, and 1 more: lower it"),
        rank);
    assertRefuses(rank);
    Files.writeString(temp.resolve("a.yaml"), RECIPE);

    Path weights = temp.resolve("chat/model.safetensors");
    new TinyModel(3, false).writeSafetensors(weights);
    List<String> header = refusedByTraining();
    assertTrue(header.get(0).contains("model.embed_tokens.weight"), header::toString);
    assertRefuses(header);
    TinyChat.write(temp.resolve("chat"));

    Path config = temp.resolve("chat/config.json");
    String text = Files.readString(config);
    Files.writeString(config, text.replace("\"vocab_size\": 259", "\"vocab_size\": 200"));
    assertTrue(refusedByTraining().get(0).contains("'base_model': "), "vocabulary");
    err.getBuffer().setLength(0);
    assertEquals(2, inspect());
    assertTrue(err.toString().contains("error: " + refusedByTraining().get(0)), err::toString);
    assertTrue(err.toString().contains("model.embed_tokens.weight"), "and the tensors: " + err);
  }

  private void assertRefuses(String... problems) {
    assertRefuses(List.of(problems));
  }

  private void assertRefuses(List<String> problems) {
    err.getBuffer().setLength(0);
    out.getBuffer().setLength(0);
    assertEquals(2, inspect());
    assertEquals(
        problems.stream().map(problem -> "error: " + problem).toList(),
        err.toString().lines().toList());
    assertEquals("", out.toString());
  }

  @Test
  void badRecipesAndOptionsAreRefused() throws IOException {
    assertEquals(2, inspect("--set", "lora_target_modules=[q_prj]"));
    assertTrue(err.toString().contains("'q_prj' matches none of "), err::toString);
    assertEquals(2, inspect("--rows", "-1"));
    assertTrue(err.toString().contains("--rows is -1, expected a number from 0 up"), err::toString);
    assertEquals(2, inspect("--config", "b.yaml"));
    assertTrue(err.toString().contains("The recipe is given twice"), err::toString);
  }

  /** Values that training would refuse as it reads them: nothing reads them here. */
  @Test
  void noWeightIsRead() throws IOException {
    Path weights = temp.resolve("chat/model.safetensors");
    byte[] bytes = Files.readAllBytes(weights);
    Arrays.fill(bytes, bytes.length - 259 * 12 * 4, bytes.length, (byte) 0xff);
    Files.write(weights, bytes);
    assertTrue(refusedByTraining().get(0).contains("expected finite weights"), "training reads");
    assertEquals(0, inspect(), err::toString);
  }

  @Test
  void anOutputDirectoryInTheWayIsOnlyNoted() throws IOException {
    Files.createDirectories(temp.resolve("out"));
    Files.writeString(temp.resolve("out/a.txt"), "");
    assertEquals(0, inspect());
    assertTrue(err.toString().startsWith("note: train would refuse: "), err::toString);
    assertTrue(err.toString().contains("which is not empty"), err::toString);
    assertFalse(Files.exists(temp.resolve("out/recipe.yaml")));
  }
}
