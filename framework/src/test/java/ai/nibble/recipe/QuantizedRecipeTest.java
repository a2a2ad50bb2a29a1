package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.QuantizedCheckpointTest;
import ai.nibble.tensor.DType;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a recipe has held in 4 or 8 bits, and what it says of it. */
final class QuantizedRecipeTest {
  @TempDir Path temp;
  private RecipeFiles files;

  @BeforeEach
  void makeFiles() throws IOException {
    files = new RecipeFiles(temp);
    TinyChat.write(temp.resolve("tiny"));
    files.write("rows.jsonl", "{\"instruction\": \"say a\", \"output\": \"a\"}\n".repeat(4));
  }

  private Recipe recipe(String bits) throws IOException {
    return files.load(
        bits + "\nlora_r: 4\nmax_steps: 1\nbnb_4bit_compute_dtype: float32\nreport_to: []\n",
        "base_model=" + temp.resolve("tiny"),
        "output_dir=" + temp.resolve("out"));
  }

  /** Embedding and head stay as they are whatever is asked for, and so do modules to skip. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "adapter: qlora|NF4|NF4",
        "adapter: qlora\\nllm_int8_skip_modules: [down_proj, layers.1.self_attn]|NF4|float32",
        "adapter: lora\\nload_in_8bit: true\\nllm_int8_skip_modules: [down_proj, layers.1.self_attn]"
            + "|int8|float32",
        "adapter: lora\\nload_in_8bit: true|int8|int8",
        "adapter: lora|float32|float32"
      })
  void linearsAloneAreQuantisedAndThoseToSkipAreNot(String bits, String most, String skipped)
      throws IOException {
    Recipe recipe = recipe(bits.replace("\\n", "\n"));
    LoadOptions options = new LoadOptions(recipe.quantization().config(), DType.FLOAT32);
    try (CausalLm model = CausalLm.load(recipe.baseModel(), options)) {
      model
          .linears()
          .forEach(
              (path, linear) -> {
                boolean left = path.endsWith("down_proj") || path.contains("layers.1.self_attn");
                String expected = left ? skipped : most;
                String format = linear.weight().format();
                assertTrue(
                    format.toLowerCase().startsWith(expected.toLowerCase()), path + ": " + format);
              });
      assertEquals(DType.FLOAT32, model.table(CausalLm.EMBEDDING).tensor().dtype());
      assertEquals(DType.FLOAT32, model.table(CausalLm.HEAD).tensor().dtype());
    }
  }

  @Test
  void loftqOnABaseThatIsStoredQuantisedIsRefused() throws IOException {
    List<String> problems =
        files.problems(
            "adapter: qlora\nlora_r: 4\ninit_lora_weights: loftq\n",
            "base_model=" + QuantizedCheckpointTest.directory("nf4_double"));
    assertTrue(
        problems.stream().anyMatch(p -> p.contains("the base is stored quantised")),
        problems.toString());
  }

  private String run(String bits) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    new RecipeRun(recipe(bits), new PrintStream(out, true, StandardCharsets.UTF_8), false).run();
    return out.toString(StandardCharsets.UTF_8);
  }

  @Test
  void whatFourBitsCostOnACpuIsSaidOnce() throws IOException {
    String line = "4-bit weights on a CPU save memory rather than time";
    String said = run("adapter: qlora\ndevice_map: cpu");
    assertEquals(1, said.lines().filter(line::equals).count(), said);
  }

  @Test
  void whereNothingIsHeldInFourBitsNothingIsSaidOfThem() throws IOException {
    String said = run("adapter: lora\nload_in_8bit: true\ndevice_map: cpu");
    assertFalse(said.contains("4-bit weights"), said);
  }
}
