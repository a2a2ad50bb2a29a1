package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeReport;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterSet;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Pass;
import ai.nibble.report.RunFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Recipes that add tokens, from the rows to what is merged. */
final class NewTokensRecipeTest {
  private static final int FIRST = SmallTokenizer.END + 1;
  private static final String TOKENS = "tokens: ['<tool>', '</tool>']\n";
  private static final String NEW = TOKENS + "trainable_token_indices: new\n";

  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
    TinyChat.write(temp.resolve("tiny"));
    StringBuilder rows = new StringBuilder();
    for (int i = 0; i < 12; i++) {
      rows.append("{\"instruction\": \"say ").append(i);
      rows.append("\", \"output\": \"<tool>").append(i).append("</tool>\"}\n");
    }
    files.write("rows.jsonl", rows.toString());
  }

  private Recipe tiny(String more, String output) throws IOException {
    return files.load(
        "lora_r: 4\nmax_steps: 4\nadapter: lora\nbnb_4bit_compute_dtype: float32\nreport_to: []\n"
            + more,
        "base_model=" + temp.resolve("tiny"),
        "output_dir=" + temp.resolve(output));
  }

  private static String run(Recipe recipe) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    new RecipeRun(recipe, new PrintStream(out, true, StandardCharsets.UTF_8), false).run();
    return out.toString(StandardCharsets.UTF_8);
  }

  private CausalLm load(Path base) {
    return CausalLm.load(base, LoadOptions.unquantized(DType.FLOAT32));
  }

  private static float[] logits(CausalLm model, int... ids) {
    int[] all = new int[ids.length];
    Arrays.setAll(all, i -> i);
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), all)) {
      return logits.toFloats();
    }
  }

  @Test
  void newTokensAreEncodedTrainedAndSavedAsPeftHasThem() throws IOException {
    Recipe recipe = tiny(NEW, "out");
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
    run(recipe);
    Path out = temp.resolve("out");
    LoraConfig config = AdapterConfigFile.read(out).lora();
    List<Integer> ids = List.of(FIRST, FIRST + 1);
    assertEquals(
        Map.of(CausalLm.EMBEDDING, ids, CausalLm.HEAD, ids), // this base does not tie them
        config.extras().trainableTokens().ids());
    assertEquals(
        Optional.of(temp.resolve("tiny").toString()), AdapterConfigFile.read(out).baseModel());
    try (Tokenizer tokenizer = Tokenizer.load(out)) {
      assertArrayEquals(
          new int[] {FIRST, '7', FIRST + 1}, tokenizer.encode("<tool>7</tool>").ids());
      assertEquals("<tool>7", tokenizer.decode(new int[] {FIRST, '7'}, false));
    }
    Path base = TrainedWith.baseFor(temp.resolve("tiny"), out);
    assertArrayEquals(
        Files.readAllBytes(recipe.base().resolve("config.json")),
        Files.readAllBytes(base.resolve("config.json")));
    try (WeightSource source = WeightSource.open(base)) {
      assertEquals(FIRST + 2, source.config().vocabSize());
      assertMean(source, CausalLm.EMBEDDING + ".weight");
      assertMean(source, CausalLm.HEAD + ".weight");
    }
    try (CausalLm model = load(base);
        LoraAdapter adapter = AdapterStore.load(model, out)) {
      float[] rows =
          adapter.parameters().parameters().stream()
              .filter(p -> p.name().contains("embed_tokens"))
              .findFirst()
              .orElseThrow()
              .value()
              .toFloats();
      int half = rows.length / 2;
      assertFalse(Arrays.equals(rows, 0, half, rows, half, rows.length), "they learn apart");
    }
  }

  /** Each new row is the mean of the stored ones: summed here anew, within float32's rounding. */
  private static void assertMean(WeightSource source, String name) {
    int width = (int) source.shape(name)[1];
    float[] all = new float[(FIRST + 2) * width];
    source.read(name, 0, all, 0, all.length);
    for (int c = 0; c < width; c++) {
      double sum = 0;
      for (int row = 0; row < FIRST; row++) {
        sum += all[row * width + c];
      }
      assertEquals(sum / FIRST, all[FIRST * width + c], 1e-7);
      assertEquals(all[FIRST * width + c], all[(FIRST + 1) * width + c]);
    }
    float[] part = new float[2 * width - 3]; // read across the border
    source.read(name, (long) (FIRST - 1) * width + 3, part, 0, part.length);
    int from = (FIRST - 1) * width + 3;
    assertArrayEquals(Arrays.copyOfRange(all, from, from + part.length), part);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "trainable_token_indices: new",
        "lora_modules_to_save: [embed_tokens, lm_head]",
        "lora_target_modules: [q_proj, embed_tokens, lm_head]"
      })
  void aRunThatGoesOnEndsAlikeAndIsMerged(String line) throws IOException {
    String more = TOKENS + line + "\nsave_steps: 2\n";
    run(tiny(more, "whole"));
    Path cut = Files.createDirectories(temp.resolve("cut"));
    Directories.copy(temp.resolve("whole/checkpoint-2"), cut.resolve("checkpoint-2"));
    run(tiny(more + "resume_from_checkpoint: auto\n", "cut"));
    assertArrayEquals(
        Files.readAllBytes(temp.resolve("whole").resolve(AdapterStore.WEIGHTS)),
        Files.readAllBytes(cut.resolve(AdapterStore.WEIGHTS)));
    Path base = TrainedWith.baseFor(temp.resolve("tiny"), cut);
    Path merged = temp.resolve("merged");
    MergeReport report =
        Merge.run(
            new MergeRequest(
                base,
                List.of(new MergeRequest.Adapter(cut, OptionalDouble.empty())),
                Optional.empty(),
                Optional.of(DType.FLOAT32),
                1 << 30,
                Optional.empty(),
                Optional.empty(),
                false,
                merged),
            notice -> {},
            step -> {});
    assertTrue(report.proof().holds(), report.proof().toString());
    assertFalse(Files.exists(merged.resolve("extended_base.json")));
    try (CausalLm whole = load(merged);
        CausalLm model = load(base);
        LoraAdapter adapter = AdapterStore.load(model, cut);
        Tokenizer tokenizer = Tokenizer.load(merged)) {
      assertEquals(FIRST + 2, whole.config().vocabSize());
      assertEquals(FIRST, tokenizer.encode("<tool>").ids()[0]);
      float[] expected = logits(model, 's', FIRST, FIRST + 1, '3');
      assertArrayEquals(expected, logits(whole, 's', FIRST, FIRST + 1, '3'), 1e-4f);
      adapter.detach();
      assertNotEquals(expected[0], logits(model, 's', FIRST, FIRST + 1, '3')[0]);
    }
  }

  @Test
  void allWeightsAreTrainedAndSavedWithTheNewRows() throws IOException {
    Recipe recipe =
        files.load(
            "adapter: none\nmax_steps: 2\nbnb_4bit_compute_dtype: float32\nreport_to: []\n"
                + TOKENS,
            "base_model=" + temp.resolve("tiny"),
            "output_dir=" + temp.resolve("full"));
    run(recipe);
    try (CausalLm model = load(temp.resolve("full"));
        Tokenizer tokenizer = Tokenizer.load(temp.resolve("full"))) {
      assertEquals(FIRST + 2, model.config().vocabSize());
      assertEquals(1, tokenizer.encode("</tool>").ids().length);
    }
  }

  /** A base with more rows than tokens keeps its size, and its spare rows begin as they are. */
  @Test
  void spareRowsAreTaken() throws IOException {
    Path roomy = TinyChat.of("llama", Map.of(), temp.resolve("roomy"), 300);
    Recipe recipe =
        files.load(
            "lora_r: 4\nadapter: lora\nmax_steps: 1\nreport_to: []\n" + NEW,
            "base_model=" + roomy,
            "output_dir=" + temp.resolve("spare"));
    try (WeightSource source = WeightSource.open(recipe.base());
        WeightSource before = WeightSource.open(roomy)) {
      assertEquals(300, source.config().vocabSize());
      float[] row = new float[12];
      float[] same = new float[12];
      source.read(CausalLm.EMBEDDING + ".weight", FIRST * 12, row, 0, 12);
      before.read(CausalLm.EMBEDDING + ".weight", FIRST * 12, same, 0, 12);
      assertArrayEquals(same, row);
    }
    run(recipe);
    List<Integer> ids = List.of(FIRST, FIRST + 1);
    LoraConfig config = AdapterConfigFile.read(temp.resolve("spare")).lora();
    assertEquals(ids, config.extras().trainableTokens().ids().get(CausalLm.EMBEDDING));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "tokens: ['<a>'] | 'tokens': adds 1 tokens whose rows nothing trains, they would stay as"
            + " they begin: add trainable_token_indices: new, which trains these rows alone,"
            + " or lora_modules_to_save: [embed_tokens, lm_head]",
        "tokens: ['<a>']; trainable_token_indices: [5] | 'tokens': adds 1 tokens whose rows nothing"
            + " trains, they would stay as they begin: add trainable_token_indices: new, which"
            + " trains these rows alone, or lora_modules_to_save: [embed_tokens, lm_head]",
        "init_lora_weights: orthogonal; lora_target_modules: [q_proj]; rank_pattern: {q_proj: 3}"
            + " | 'rank_pattern': gives 'model.layers.0.self_attn.q_proj' the rank 3, but"
            + " init_lora_weights: orthogonal needs an even one",
        "tokens: ['a'] | 'tokens': 'a' is a token of this base already, 97: remove it; its row is"
            + " trained with trainable_token_indices: [97]",
        "tokens: ['<a>']; additional_special_tokens: ['<a>'] | 'additional_special_tokens': '<a>'"
            + " stands twice, expected each token once",
        "tokens: ['<a>', '<a>']; trainable_token_indices: new | 'tokens.1' is the text \"<a>\", which"
            + " repeats an entry: remove it",
        "tokens: ['']; trainable_token_indices: new | 'tokens.0' is the text \"\", expected text"
            + " that is not blank",
        "trainable_token_indices: [5, 5] | 'trainable_token_indices.1' is '5', which repeats an"
            + " entry: remove it",
        "special_tokens: {end: '<a>'} | 'special_tokens': 'end' is no role, expected one of"
            + " [bos_token, eos_token, pad_token, unk_token]",
        "trainable_token_indices: new | 'trainable_token_indices': is 'new', but no key adds a"
            + " token: add some with tokens",
        "trainable_token_indices: [99999] | 'trainable_token_indices': token 99999 is none of the"
            + " base's 259 tokens",
        "trainable_token_indices: 5 | 'trainable_token_indices' is '5', expected 'new' or a list"
            + " of token ids",
      })
  void whatCannotBeIsSaid(String line, String expected) throws IOException {
    List<String> problems =
        files.problems(
            "lora_r: 4\nadapter: lora\n" + line.replace("; ", "\n") + "\n",
            "base_model=" + temp.resolve("tiny"));
    assertEquals(1, problems.size(), problems.toString());
    assertTrue(problems.get(0).endsWith(expected), problems.get(0));
  }

  /** What is done to the two tables is told, by the run and its files. */
  @Test
  void newTokensAndTheRowsThatAreTrainedAreListed() throws IOException {
    Recipe recipe = tiny(NEW, "told");
    List<String> lines =
        List.of(
            "new tokens: '<tool>' 259, '</tool>' 260; embedding and head grow from 259 to 261 rows,"
                + " new ones begin as the mean",
            "trained rows: embed_tokens 259, 260, lm_head 259, 260");
    assertEquals(lines, Inspection.of(recipe, 0).vocabulary().lines());
    assertEquals(lines, RecipePlan.read(recipe, System.err, List.of()).vocabulary().lines());
    String log = run(recipe);
    lines.forEach(line -> assertTrue(log.contains(line + System.lineSeparator()), log));
    RunFile.Vocabulary kept = RunFile.read(temp.resolve("told")).orElseThrow().model().vocabulary();
    assertEquals(Map.of("<tool>", 259, "</tool>", 260), kept.newTokens());
    assertEquals(List.of(259, 260), kept.trainedRows().get("lm_head"));
    String page = Files.readString(temp.resolve("told/report.html"));
    assertTrue(page.contains("<dd>&lt;tool&gt; 259, &lt;/tool&gt; 260</dd>"), page);
  }

  @Test
  void anEndOfATieIsTold() throws IOException {
    Path tied = TinyChat.of("llama", Map.of("tie_word_embeddings", "true"), temp.resolve("tied"));
    String adapter = "lora_r: 4\nadapter: lora\n";
    for (String key : List.of("lora_modules_to_save", "lora_target_modules")) {
      Recipe recipe = files.load(adapter + key + ": [embed_tokens]\n", "base_model=" + tied);
      List<String> lines = Inspection.of(recipe, 0).vocabulary().lines();
      assertEquals(1, lines.size(), lines.toString());
      assertTrue(
          lines
              .get(0)
              .startsWith("the base ties lm_head to embed_tokens, and " + key + " ends that: "),
          lines.toString());
    }
    Recipe rows = files.load(adapter + NEW, "base_model=" + tied);
    assertEquals(
        "trained rows: embed_tokens 259, 260; the base ties lm_head to it, so they are the head's"
            + " rows too",
        Inspection.of(rows, 0).vocabulary().lines().get(1));
    Recipe plain = files.load(adapter, "base_model=" + tied);
    assertEquals(List.of(), Inspection.of(plain, 0).vocabulary().lines());
  }

  @Test
  void anEndOfAnswersThatNoRowHasIsTold() throws IOException {
    String untaught =
        "note: special_tokens: eos_token '<stop>' carries loss in no row, so nothing teaches the"
            + " model to end an answer with it: write it in the chat template, or leave it out";
    String stop = "special_tokens: {eos_token: '<stop>'}\ntrainable_token_indices: new\n";
    assertTrue(Inspection.of(tiny(stop, "no"), 0).notes().contains(untaught));
    files.write(
        "stops.jinja",
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<stop>\n{% endfor %}");
    Recipe stops = tiny(stop + "chat_template: stops.jinja\n", "yes");
    assertFalse(Inspection.of(stops, 0).notes().contains(untaught));
  }

  /** One has the tokens of the other and more: both work on the larger base, in any order. */
  @Test
  void adaptersWithTokensThatGoTogetherShareABase() throws IOException {
    Path base = temp.resolve("tiny");
    run(tiny("tokens: ['<tool>']\ntrainable_token_indices: new\n", "few"));
    run(tiny(NEW, "many"));
    run(tiny("", "none"));
    Path few = temp.resolve("few");
    Path many = temp.resolve("many");
    List<List<Path>> orders = List.of(List.of(few, many, temp.resolve("none")), List.of(many, few));
    for (List<Path> order : orders) {
      Path shared = TrainedWith.baseFor(base, order);
      assertEquals(TrainedWith.baseFor(base, many), shared);
      try (CausalLm model = load(shared);
          AdapterSet adapters = new AdapterSet(model)) {
        for (Path adapter : order) {
          adapters.load(adapter.getFileName().toString(), adapter);
        }
        adapters.select("few");
        assertEquals(FIRST + 2, model.config().vocabSize());
      }
    }
    run(tiny("tokens: ['<other>']\ntrainable_token_indices: new\n", "other"));
    Path other = temp.resolve("other");
    assertEquals(
        other
            + " and "
            + many
            + " add tokens that do not go together: '<other>' is token 259 of the first and none of"
            + " the second; one model has one tokenizer: use them one at a time, or train both with"
            + " the same tokens in the same order",
        assertThrows(
                InvalidInputException.class, () -> TrainedWith.baseFor(base, List.of(other, many)))
            .getMessage());
    run(tiny("lora_modules_to_save: [embed_tokens]\n", "whole"));
    try (CausalLm model = load(TrainedWith.baseFor(base, many))) {
      String message =
          assertThrows(
                  InvalidInputException.class,
                  () -> AdapterStore.load(model, temp.resolve("whole")))
              .getMessage();
      assertTrue(
          message.endsWith(
              ": it is of a vocabulary of 259 tokens, this base has 261; where another adapter adds"
                  + " tokens, use this one without it"),
          message);
    }
  }

  @Test
  void rowsOfTheHeadThatNothingTrainsAreTold() throws IOException {
    String read = "are read, but never learned to be written";
    String embedding = "tokens: ['<a>']\nlora_modules_to_save: [embed_tokens]\n";
    List<String> notices = tiny(embedding, "read").notices();
    assertEquals(1, notices.stream().filter(n -> n.contains(read)).count(), notices.toString());
    String both = "tokens: ['<a>']\nlora_modules_to_save: [embed_tokens, lm_head]\n";
    assertTrue(tiny(both, "both").notices().stream().noneMatch(n -> n.contains(read)));
    String rows = "tokens: ['<a>']\ntrainable_token_indices: new\n";
    assertTrue(tiny(rows, "rows").notices().stream().noneMatch(n -> n.contains(read)));
  }

  /** What ends an answer is known wherever the adapter is used. */
  @Test
  void anotherEndOfAnswersGoesWithTheAdapter() throws IOException {
    Recipe recipe =
        tiny("special_tokens: {eos_token: '<stop>'}\ntrainable_token_indices: new\n", "stops");
    run(recipe);
    for (Path base :
        List.of(recipe.base(), TrainedWith.baseFor(temp.resolve("tiny"), temp.resolve("stops")))) {
      try (WeightSource source = WeightSource.open(base);
          Tokenizer tokenizer = Tokenizer.load(base)) {
        assertEquals(Set.of(FIRST), Set.copyOf(source.config().eosTokenIds()));
        assertEquals(FIRST, tokenizer.eosId().orElseThrow());
      }
    }
    assertEquals(
        temp.resolve("tiny"), TrainedWith.baseFor(temp.resolve("tiny"), temp.resolve("tiny")));
  }

  /** A token that only fills batches is never looked at: nothing has to train it. */
  @Test
  void aNewTokenThatFillsBatchesNeedsNoTraining() throws IOException {
    Recipe recipe = tiny("special_tokens: {pad_token: '<pad>'}\n", "padded");
    run(recipe);
    try (Tokenizer tokenizer = Tokenizer.load(temp.resolve("padded"))) {
      assertEquals("<pad>", tokenizer.specialTokens().texts().get("pad_token"));
    }
  }
}
