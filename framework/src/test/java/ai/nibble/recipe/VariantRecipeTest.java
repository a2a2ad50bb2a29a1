package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Directories;
import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.lora.AdapterConfigFile;
import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetModules;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Recipes of adapters that are more than A and B, and of runs that begin with an adapter. */
final class VariantRecipeTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
    TinyChat.write(temp.resolve("tiny"));
    StringBuilder rows = new StringBuilder();
    for (int i = 0; i < 12; i++) {
      rows.append("{\"instruction\": \"say ").append(i).append("\", \"output\": \"").append(i);
      rows.append("\"}\n");
    }
    files.write("rows.jsonl", rows.toString());
  }

  private Recipe tiny(String more, String output) throws IOException {
    return files.load(
        "lora_r: 4\nmax_steps: 3\nbnb_4bit_compute_dtype: float32\nreport_to: []\n" + more,
        "base_model=" + temp.resolve("tiny"),
        "output_dir=" + temp.resolve(output));
  }

  private static String run(Recipe recipe) {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    new RecipeRun(recipe, new PrintStream(out, true, StandardCharsets.UTF_8), false).run();
    return out.toString(StandardCharsets.UTF_8);
  }

  private byte[] weights(String output) throws IOException {
    return Files.readAllBytes(temp.resolve(output).resolve(AdapterStore.WEIGHTS));
  }

  private LoraConfig saved(String output) {
    return AdapterConfigFile.read(temp.resolve(output)).lora();
  }

  /** What a run saved at its second step and went on from gives what it gives without a stop. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "use_dora: true",
        "lora_modules_to_save: [embed_tokens, lm_head]",
        "init_lora_weights: pissa",
        "init_lora_weights: olora",
        "init_lora_weights: loftq",
        "init_lora_weights: orthogonal",
        "neftune_noise_alpha: 5"
      })
  void aRunThatGoesOnEndsAlike(String line) throws IOException {
    String more = line + "\nsave_steps: 2\n";
    run(tiny(more, "whole"));
    Path cut = Files.createDirectories(temp.resolve("cut"));
    Directories.copy(temp.resolve("whole/checkpoint-2"), cut.resolve("checkpoint-2"));
    Recipe recipe = tiny(more + "resume_from_checkpoint: auto\n", "cut");
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
    run(recipe);
    assertArrayEquals(weights("whole"), weights("cut"));
  }

  /** The base of the last iteration lies beside the adapter, which goes with no other. */
  @Test
  void loftqOfSeveralIterationsHasABaseOfItsOwn() throws IOException {
    String more =
        "init_lora_weights: loftq\nloftq_config: {loftq_bits: 4, loftq_iter: 3}\nsave_steps: 2\n";
    Recipe recipe = tiny(more, "whole");
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
    run(recipe);
    Path out = temp.resolve("whole");
    Path base = out.resolve("loftq_base");
    assertEquals(Optional.of(base.toString()), AdapterConfigFile.read(out).baseModel());
    for (Path adapter : List.of(out, out.resolve("checkpoint-2"))) {
      assertEquals(Optional.of(base), TrainedWith.read(adapter).orElseThrow().baseModel());
    }
    assertEquals(base, TrainedWith.baseFor(base, out));
    String message =
        assertThrows(
                InvalidInputException.class,
                () -> TrainedWith.baseFor(temp.resolve("tiny"), out.resolve("checkpoint-2")))
            .getMessage();
    assertEquals(
        out
            + ": was trained on the 4-bit base that LoftQ made for it, "
            + base
            + ", not on "
            + temp.resolve("tiny")
            + ": leave out --model, or name that one",
        message);
    assertTrue(
        Merge.run(
                new MergeRequest(
                    base,
                    List.of(new MergeRequest.Adapter(out, OptionalDouble.empty())),
                    TrainedWith.read(out).orElseThrow().quantization(),
                    Optional.of(DType.FLOAT32),
                    1 << 30,
                    Optional.empty(),
                    Optional.empty(),
                    false,
                    temp.resolve("merged")),
                notice -> {},
                step -> {})
            .proof()
            .holds());
    run(tiny(more + "resume_from_checkpoint: whole/checkpoint-2\n", "other"));
    assertArrayEquals(weights("whole"), weights("other"));
    assertArrayEquals(
        Files.readAllBytes(base.resolve("model.safetensors")),
        Files.readAllBytes(temp.resolve("other/loftq_base/model.safetensors")));
    Path lone = Files.createDirectories(temp.resolve("lone"));
    Directories.copy(out.resolve("checkpoint-2"), lone.resolve("checkpoint-2"));
    Recipe resumed = tiny(more + "resume_from_checkpoint: auto\n", "lone");
    assertTrue(
        assertThrows(InvalidInputException.class, () -> run(resumed))
            .getMessage()
            .endsWith("which is no longer there: put it back, or begin anew"));
  }

  /**
   * A module that is not quantised loses nothing; with two matrices of zeros it would not learn.
   */
  @Test
  void loftqBeginsAsUsualWhereNothingWasLost() throws IOException {
    run(tiny("init_lora_weights: loftq\nllm_int8_skip_modules: [down_proj]\n", "out"));
    try (SafetensorsFile file =
        SafetensorsFile.open(temp.resolve("out/adapter_model.safetensors"))) {
      String a = AdapterNames.loraA("model.layers.0.mlp.down_proj");
      float[] values = new float[Math.toIntExact(file.tensor(a).elements())];
      file.readFloats(a, 0, values, 0, values.length);
      assertTrue(values[0] != 0);
    }
  }

  /** PEFT of every version reads what is left: see TargetMatcherTest for PEFT's own choice. */
  @Test
  void modulesThatAreLeftOutAreNotNamedInWhatIsSaved() throws IOException {
    run(
        tiny(
            "lora_target_modules: [q_proj, v_proj]\n"
                + "exclude_modules: '.*layers\\.1\\.self_attn\\.q_proj'\n",
            "out"));
    assertEquals(
        new TargetModules.Names(List.of("model.layers.0.self_attn.q_proj", "v_proj")),
        saved("out").targetModules());
    assertEquals(TargetModules.NONE, saved("out").excludeModules());
    String layers = "lora_target_modules: [q_proj]\nlayers_to_transform: 1\n";
    Recipe recipe = tiny(layers + "layers_pattern: layers\n", "pattern");
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
    run(recipe);
    assertEquals(List.of("layers"), saved("pattern").layersPattern());
  }

  @Test
  void pissaIsSavedAsAPlainAdapterOfTwiceTheRank() throws IOException {
    run(tiny("init_lora_weights: pissa\nlora_alpha: 6\nuse_rslora: true\n", "out"));
    LoraConfig config = saved("out");
    assertEquals(8, config.r());
    assertEquals(6 / Math.sqrt(4), config.scaling("model.layers.0.mlp.up_proj"), 1e-12);
    assertEquals(0, config.dropout());
  }

  @Test
  void trainingGoesOnFromAnAdapter() throws IOException {
    run(tiny("use_dora: true\n", "first"));
    String more = "use_dora: true\nlora_model_dir: first\n";
    assertEquals(
        List.of("a.yaml:12:15: 'loftq_config' has no effect: 'lora_model_dir' has matrices"),
        files.relative(tiny(more + "loftq_config: {loftq_iter: 3}\n", "second").notices()).stream()
            .filter(line -> line.contains("loftq"))
            .toList());
    Recipe recipe = tiny(more, "second");
    assertEquals(recipe, files.loadText(recipe.resolvedYaml()));
    String log = run(recipe);
    assertTrue(log.contains("adapter on 14 modules"), log);
    assertTrue(saved("second").extras().useDora());
    // the same steps from other values: what was there before is in it
    assertTrue(Arrays.mismatch(weights("first"), weights("second")) > 0);
    assertEquals(
        List.of(
            "a.yaml:11:17: 'lora_model_dir': the adapter is another than this recipe's: use_dora is"
                + " true there and false here",
            "a.yaml:11:17: 'lora_model_dir': the adapter is another than this recipe's:"
                + " 'model.layers.0.self_attn.q_proj' has rank 4 and a scaling of 8.0 there, rank 8"
                + " and 4.0 here"),
        problems("lora_r: 8\nmax_steps: 3\nbnb_4bit_compute_dtype: float32\nreport_to: []\n"));
  }

  @Test
  void anAdapterOfAnotherBaseIsRefused() throws IOException {
    run(tiny("", "first"));
    TinyChat.write(temp.resolve("other"));
    List<String> problems =
        files.problemsOf(
            "base_model: other\ndatasets: [{path: rows.jsonl, type: alpaca}]\nsequence_len: 128\n"
                + "learning_rate: 1e-4\noutput_dir: second\nlora_r: 4\nlora_model_dir: first\n");
    assertEquals(
        List.of(
            "a.yaml:7:17: 'lora_model_dir': the adapter was trained on 'tiny', not on this base_model:"
                + " set base_model to that, or take another adapter"),
        problems);
  }

  private List<String> problems(String settings) throws IOException {
    return files.problems(
        settings + "\nlora_model_dir: first\n", "base_model=" + temp.resolve("tiny"));
  }

  @Test
  void whatDoesNotGoTogetherIsRefused() throws IOException {
    assertEquals(
        List.of(
            "a.yaml:6:15: 'lora_dropout' is '0.1', expected 0 with 'init_lora_weights: pissa': what"
                + " is dropped would be missing from the weight that the adapter began as a part"
                + " of"),
        files.problems("lora_dropout: 0.1\ninit_lora_weights: pissa\n"));
    assertEquals(0, files.load("init_lora_weights: pissa_niter_4\n").lora().dropout());
    assertEquals(0.05, files.load("use_dora: true\n").lora().dropout());
    assertEquals(
        List.of(
            "a.yaml:6:20: 'init_lora_weights' is 'loftq', which makes up for 4 bits, but the base"
                + " is not held in them: use adapter: qlora, or another value"),
        files.problems("init_lora_weights: loftq\nadapter: lora\n"));
    assertEquals(
        List.of(
            "a.yaml:8:11: 'use_dora' is 'true', which is not supported yet on a base in 8 bits: use"
                + " load_in_4bit, or neither"),
        files.problems("adapter: lora\nload_in_8bit: true\nuse_dora: true\n"));
    assertEquals(
        List.of(
            "a.yaml:6:23: 'lora_modules_to_save': 'norm' is not supported yet, expected"
                + " embed_tokens, lm_head or both: leave it out, or train all weights (adapter:"
                + " none)"),
        files.problems("lora_modules_to_save: [norm]\n"));
  }
}
