package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.model.CausalLm;
import ai.nibble.model.ChangedCheckpoint;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.QuantizedCheckpointTest;
import ai.nibble.nn.Pass;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quantized4Bit;
import ai.nibble.quant.Quantizer4Bit;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.FloatBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

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
      assertPlain(model, CausalLm.EMBEDDING);
      assertPlain(model, CausalLm.HEAD);
    }
  }

  /** As it is stored, value for value. */
  private void assertPlain(CausalLm model, String module) throws IOException {
    assertEquals(DType.FLOAT32, model.table(module).tensor().dtype());
    assertArrayEquals(stored(module), model.table(module).tensor().toFloats(), module);
  }

  private float[] stored(String module) {
    try (SafetensorsFile file = SafetensorsFile.open(temp.resolve("tiny/model.safetensors"))) {
      float[] values = new float[(int) file.tensor(module + ".weight").elements()];
      file.readFloats(module + ".weight", 0, values, 0, values.length);
      return values;
    }
  }

  /**
   * Linears whose values are all one magnitude lose nothing in 4 bits. So what is computed is what
   * the plain base computes if norms, embedding and head are plain, and something else if they were
   * quantised too: as the control shows by norms of NF4's values.
   */
  @ParameterizedTest
  @ValueSource(strings = {"nf4", "fp4"})
  void normsEmbeddingAndHeadComputeAsInTheBase(String type) throws IOException {
    ChangedCheckpoint checkpoint = ChangedCheckpoint.of(temp.resolve("tiny"));
    Random random = new Random(7);
    for (String name : checkpoint.names()) {
      FloatBuffer values = checkpoint.bytes(name).asFloatBuffer();
      for (int i = 0; i < values.limit() && name.endsWith("_proj.weight"); i++) {
        values.put(i, random.nextBoolean() ? 0.25f : -0.25f);
      }
    }
    checkpoint.write(temp.resolve("tiny"));
    Recipe recipe =
        recipe("adapter: qlora\nbnb_4bit_use_double_quant: false\nbnb_4bit_quant_type: " + type);
    float[] held = logits(new LoadOptions(recipe.quantization().config(), DType.FLOAT32));
    float[] plain = logits(LoadOptions.unquantized(DType.FLOAT32));
    // sums of up to 24 products in another order: 24 half-units in the last place, of logits to 20
    assertArrayEquals(plain, held, 24 * Math.ulp(20f));
    for (String name : checkpoint.names()) {
      if (name.contains("norm")) {
        FloatBuffer values = checkpoint.bytes(name).asFloatBuffer();
        float[] rounded = new float[values.limit()];
        values.duplicate().get(rounded);
        Tensor norm = Tensor.of(rounded, 1, rounded.length);
        Quant4Config config = new Quant4Config(Quant4Type.NF4, 64, false);
        try (norm;
            Quantized4Bit codes = Quantizer4Bit.quantize(name, norm, config);
            Tensor back = Tensor.empty(DType.FLOAT32, 1, rounded.length)) {
          codes.dequantize(back);
          values.put(back.toFloats());
        }
      }
    }
    checkpoint.write(temp.resolve("tiny"));
    float[] control = logits(LoadOptions.unquantized(DType.FLOAT32));
    double largest = 0;
    for (int i = 0; i < plain.length; i++) {
      largest = Math.max(largest, Math.abs(plain[i] - control[i]));
    }
    assertTrue(largest > 0.01, "quantised norms change logits by " + largest);
  }

  private float[] logits(LoadOptions options) {
    int[] ids = {1, 70, 200, 13, 13, 99};
    int[] positions = {0, 1, 2, 3, 4, 5};
    try (CausalLm model = CausalLm.load(temp.resolve("tiny"), options);
        Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), positions)) {
      return logits.toFloats();
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
