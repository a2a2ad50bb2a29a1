package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.TinyChat;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.DType;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Recipes that train all weights, from a base or from scratch. */
final class AllWeightsRecipeTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
    // 32 layers of 64 columns, and embeddings
    files.write("small/config.json", RecipeFiles.CONFIG);
  }

  @Test
  void withoutAnAdapterTheBaseIsNotQuantised() throws IOException {
    Recipe recipe = files.load("adapter: none\n");
    assertEquals(Recipe.Adapter.NONE, recipe.adapter());
    assertEquals(Recipe.Method.SFT, recipe.method());
    assertEquals(Recipe.Init.PRETRAINED, recipe.init());
    assertFalse(recipe.quantization().loadIn4bit());
    assertEquals(List.of(), recipe.notices());
    Recipe again = files.loadText(recipe.resolvedYaml());
    assertEquals(recipe, again);
    assertEquals(List.of(), again.notices());
  }

  @Test
  void pretrainingFromScratchNeedsNoWeights() throws IOException {
    Recipe recipe =
        files.load("adapter: none\nmethod: pretrain\ninit: random\n", "base_model=" + small());
    assertEquals(Recipe.Method.PRETRAIN, recipe.method());
    assertEquals(Recipe.Init.RANDOM, recipe.init());
    assertEquals(List.of(), recipe.notices());
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
  }

  private Path small() {
    return files.path("small");
  }

  @ParameterizedTest
  @CsvSource({
    "adapter: full, NONE, SFT, 'adapter: full' is read as 'none'",
    "finetuning_type: full, NONE, SFT, 'finetuning_type: full' is read as 'adapter: none'",
    "method: pt, QLORA, PRETRAIN, 'method: pt' is read as 'pretrain'",
    "stage: pt, QLORA, PRETRAIN, 'stage: pt' is read as 'method: pretrain'",
  })
  void otherToolsWordsAreRead(
      String line, Recipe.Adapter adapter, Recipe.Method method, String notice) throws IOException {
    Recipe recipe = files.load(line + "\n");
    assertEquals(adapter, recipe.adapter());
    assertEquals(method, recipe.method());
    assertEquals(1, recipe.notices().size());
    assertTrue(recipe.notices().get(0).endsWith(": " + notice), recipe.notices().get(0));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "load_in_4bit: true | a.yaml:7:15: 'load_in_4bit' is 'true', but adapter none trains all"
            + " weights, which 4 bits cannot hold: remove it, or use adapter: qlora",
        "quantization_bit: 4 | a.yaml:7:19: 'load_in_4bit' is 'true', but adapter none trains all"
            + " weights, which 4 bits cannot hold: remove it, or use adapter: qlora",
        "load_in_8bit: true | a.yaml:7:15: 'load_in_8bit' is 'true', but adapter none trains all"
            + " weights, which 8 bits cannot hold: remove it, or use adapter: lora",
      })
  void quantisedWeightsCannotBeTrained(String line, String expected) throws IOException {
    assertEquals(List.of(expected), files.problems("adapter: none\n" + line + "\n"));
  }

  @ParameterizedTest
  @CsvSource({"qlora", "lora"})
  void anAdapterOnRandomWeightsIsRefused(String adapter) throws IOException {
    assertEquals(
        List.of(
            "a.yaml:7:7: 'init' is 'random', but an adapter needs a trained base: use adapter:"
                + " none, or init: pretrained"),
        files.problems("adapter: " + adapter + "\ninit: random\n"));
  }

  @Test
  void randomWeightsNeedAConfiguration() throws IOException {
    files.write("empty/tokenizer.json", "{}");
    files.write("file.gguf", "");
    for (String base : List.of("empty", "file.gguf", "gone")) {
      List<String> problems =
          files.problems("adapter: none\ninit: random\n", "base_model=" + files.path(base));
      assertEquals(1, problems.size(), problems.toString());
      assertTrue(
          problems.get(0).contains("'base_model': no config.json in '" + base + "', expected a"),
          problems.get(0));
    }
  }

  @Test
  void aModelTooLargeForAllItsWeightsIsRefusedBeforeItIsRead() throws IOException {
    files.write("model/config.json", RecipeFiles.CONFIG.replace("100}", "9000000}"));
    List<String> problems = files.problems("adapter: none\n");
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(
        problems.get(0).contains("weights, expected at most 536870911 to train all of them"),
        problems.get(0));
    assertEquals(Recipe.Adapter.LORA, files.load("adapter: lora\n").adapter());
  }

  /** What it would begin with is lost: more than a word without effect. */
  @Test
  void anAdapterToBeginWithIsRefused() throws IOException {
    assertEquals(
        List.of(
            "a.yaml:7:17: 'lora_model_dir' is an adapter to begin with, but adapter none trains all"
                + " weights and has none: merge it into the base before (nibble merge), or use"
                + " adapter: lora or qlora"),
        files.problems("adapter: none\nlora_model_dir: there\n"));
  }

  @Test
  void keysOfAdaptersAndRolesWithoutEffectAreNoticed() throws IOException {
    Recipe recipe =
        files.load(
            "adapter: none\nmethod: pretrain\nlora_r: 8\nlora_alpha: 32\nroles_to_train: [user]\n"
                + "train_on_inputs: true\n");
    assertEquals(
        List.of(
            "a.yaml:8:9: 'lora_r' has no effect with adapter: none",
            "a.yaml:11:18: 'train_on_inputs' has no effect with method: pretrain, which trains on"
                + " every token",
            "a.yaml:10:17: 'roles_to_train' has no effect with method: pretrain, which trains on"
                + " every token"),
        files.relative(recipe.notices()));
  }

  @Test
  void overwritingRemovesAnEarlierRunsModel() throws IOException {
    Recipe recipe = files.load("adapter: none\noverwrite_output_dir: true\n");
    files.write("out/recipe.yaml", recipe.resolvedYaml());
    String killed = ".model.safetensors.01234567-89ab-cdef-0123-456789abcdef.tmp";
    for (String name :
        List.of("config.json", "model.safetensors", "checkpoint-5/a", "runs/b", killed, "mine")) {
      files.write("out/" + name, "x");
    }
    OutputFolder.prepare(recipe.output());
    try (var left = Files.list(files.path("out"))) {
      assertEquals(List.of(files.path("out/mine")), left.toList());
    }
  }

  /**
   * What lies in the output directory, its recipe's adapter or none, and what stands in the way.
   */
  @ParameterizedTest
  @CsvSource({
    "model.safetensors, , model.safetensors",
    "config.json, , config.json",
    "adapter_model.safetensors, , adapter_model.safetensors",
    "runs, , runs",
    "tokenizer.json, qlora, tokenizer.json",
    "model.safetensors, lora, model.safetensors",
    "adapter_model.safetensors, none, adapter_model.safetensors",
    "model.safetensors, 'foreign', model.safetensors",
    "config.json, 'broken', config.json",
  })
  void overwritingNeverRemovesWhatNoRunOfOursWrote(String name, String adapter, String named)
      throws IOException {
    Path file = files.write("out/" + name, "precious");
    if ("foreign".equals(adapter)) {
      files.write("out/recipe.yaml", "quant_stage: {modifiers: {}}\n");
    } else if ("broken".equals(adapter)) {
      files.write("out/recipe.yaml", "{\n");
    } else if (adapter != null) {
      files.write("out/recipe.yaml", files.load("adapter: " + adapter + "\n").resolvedYaml());
    }
    String text = RecipeFiles.LEAST + "adapter: none\noverwrite_output_dir: true\n";
    Path recipe = files.write("a.yaml", text);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> RecipeLoader.loadForRun(recipe, List.of()));
    String expected =
        "which holds '" + named + "', which is no earlier run's by a recipe.yaml there";
    assertEquals(1, e.problems().size(), e.getMessage());
    assertTrue(e.getMessage().contains("a.yaml:5:13: 'output_dir' is '"), e.getMessage());
    assertTrue(e.getMessage().contains(expected), e.getMessage());
    Output output = RecipeLoader.load(recipe, List.of()).output();
    e = assertThrows(InvalidInputException.class, () -> OutputFolder.prepare(output));
    assertTrue(e.getMessage().contains(expected), e.getMessage());
    assertEquals("precious", Files.readString(file));
  }

  @Test
  void aRunFromARecipesTemplateWritesIt() throws IOException {
    TinyChat.write(files.path("chat"));
    String template = SmallTokenizer.CHATML.replace("{{ m.role }}", "[{{ m.role }}]");
    files.write("own.jinja", template);
    files.write(
        "rows.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"a\"},"
            + " {\"role\": \"assistant\", \"content\": \"b\"}]}\n");
    Recipe recipe =
        files.load(
            "adapter: none\nchat_template: own.jinja\nmax_steps: 1\nreport_to: []\n"
                + "bnb_4bit_compute_dtype: float32\n",
            "base_model=" + files.path("chat"),
            "datasets=[{path: " + files.path("rows.jsonl") + ", type: messages}]");
    new RecipeRun(recipe, new PrintStream(new ByteArrayOutputStream()), false).run();
    assertEquals(template, Files.readString(files.path("out/chat_template.jinja")));
    assertArrayEquals(
        Files.readAllBytes(files.path("chat/tokenizer.json")),
        Files.readAllBytes(files.path("out/tokenizer.json")));
  }

  @Test
  void aVocabularyThatDoesNotFitTheTokenizerIsSaidBeforeAnythingIsLoaded() throws IOException {
    TinyChat.write(files.path("chat"));
    Path config = files.path("chat/config.json");
    Files.writeString(config, Files.readString(config).replace("259", "258"));
    files.write("rows.jsonl", "{\"text\": \"abc\"}\n");
    String rows = "datasets=[{path: " + files.path("rows.jsonl") + ", type: text}]";
    String expected =
        "--set base_model="
            + files.path("chat")
            + ": 'base_model': the tokenizer gives token id 258, but 'vocab_size' in the model's"
            + " config.json is 258: use the tokenizer that belongs to the model, or for a model from"
            + " scratch set vocab_size to 259";
    // 258 ends every text; from scratch the tokenizer counts, whatever the rows hold
    for (String kind : List.of("adapter: lora\nlora_r: 4\n", "adapter: none\ninit: random\n")) {
      Recipe recipe = files.load(kind, "base_model=" + files.path("chat"), rows);
      RecipeRun run = new RecipeRun(recipe, new PrintStream(new ByteArrayOutputStream()), false);
      InvalidInputException e = assertThrows(InvalidInputException.class, run::run);
      assertEquals(List.of(expected), e.problems());
    }
    assertFalse(Files.exists(files.path("out")));
  }

  /** A small model with a real tokenizer, from random weights to a directory that loads. */
  @Test
  void aRunFromScratchWritesAModel() throws IOException {
    Path real = Shared.path("models/smollm2-135m-instruct");
    for (String name : List.of("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")) {
      Files.copy(real.resolve(name), files.path("small").resolve(name));
    }
    files.write(
        "small/config.json",
        "{\"model_type\":\"llama\",\"hidden_size\":8,\"intermediate_size\":12,"
            + "\"num_hidden_layers\":1,\"num_attention_heads\":2,\"vocab_size\":49152,"
            + "\"tie_word_embeddings\":true,\"dtype\":\"bfloat16\"}");
    files.write("text.jsonl", "{\"text\": \"one two three\"}\n".repeat(3));
    files.write(
        "chat.jsonl",
        "{\"messages\": [{\"role\": \"user\", \"content\": \"Hi\"},"
            + " {\"role\": \"assistant\", \"content\": \"Hello\"}]}\n");
    Recipe recipe =
        files.loadText(
            RecipeFiles.LEAST
                    .replace("base_model: model", "base_model: small")
                    .replace(
                        "[{path: rows.jsonl, type: alpaca}]",
                        "[{path: text.jsonl, type: text}, {path: chat.jsonl, type: messages}]")
                    .replace("1e-4", "1e-2")
                + "adapter: none\nmethod: pretrain\ninit: random\nmax_steps: 2\nreport_to: []\n"
                + "micro_batch_size: 4\n");
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    new RecipeRun(recipe, new PrintStream(printed, true, StandardCharsets.UTF_8), false).run();
    String lines = printed.toString(StandardCharsets.UTF_8);
    for (String file : List.of("text", "chat")) {
      Matcher counts =
          Pattern.compile(
                  file + "\\.jsonl: (\\d) examples? of .*?, (\\d+) tokens, (\\d+) with loss")
              .matcher(lines);
      assertTrue(counts.find(), lines);
      // all but the first of each row, which nothing predicts
      int rows = Integer.parseInt(counts.group(1));
      int tokens = Integer.parseInt(counts.group(2));
      assertEquals(tokens - rows, Integer.parseInt(counts.group(3)), lines);
    }
    assertTrue(lines.contains("all weights are trained, 393,784 parameters"), lines);
    Path out = files.path("out");
    assertArrayEquals(
        Files.readAllBytes(real.resolve("tokenizer.json")),
        Files.readAllBytes(out.resolve("tokenizer.json")));
    try (CausalLm model = CausalLm.load(out, LoadOptions.unquantized(DType.FLOAT32))) {
      assertEquals(DType.BFLOAT16, model.config().dtype());
    }
  }
}
