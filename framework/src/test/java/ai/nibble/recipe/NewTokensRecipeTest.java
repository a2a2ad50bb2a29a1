package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.TinyChat;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeReport;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Pass;
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
