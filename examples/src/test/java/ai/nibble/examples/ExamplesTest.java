package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.data.Example;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ExamplesTest {
  @TempDir Path temp;

  private static Path shared(String relative) {
    Path root = Path.of(System.getProperty("nibble.root", "..")).toAbsolutePath().normalize();
    Path path = root.resolveSibling("shared").resolve(relative);
    assumeTrue(Files.exists(path), "skipped: needs ../shared/" + relative + ", which is not here");
    return path;
  }

  @Test
  void aLoopOfOnesOwnLearnsAndWritesAnAdapterThatLoads() throws Exception {
    Path base = shared("fixtures/models/llama_plain");
    List<Example> rows = new ArrayList<>();
    for (int first = 1; first <= 16; first++) {
      int[] ids = new int[10];
      for (int t = 0; t < ids.length; t++) {
        ids[t] = first + t;
      }
      rows.add(new Example(ids, ids));
    }
    double[] losses = CustomLoop.train(base, rows, 20, temp);
    assertTrue(losses[19] < losses[0] - 0.5, losses[0] + " to " + losses[19]);
    try (CausalLm model = CausalLm.load(base, LoadOptions.nf4());
        LoraAdapter adapter = AdapterStore.load(model, temp)) {
      assertEquals(21, adapter.modules().size());
    }
  }

  @Test
  void aRecipeTrainsARealModelFromCode() throws Exception {
    Path model = shared("models/smollm2-135m-instruct").resolve("SmolLM2-135M-Instruct.Q4_1.gguf");
    Path rows = temp.resolve("rows.jsonl");
    Files.writeString(
        rows,
        "{\"instruction\": \"Say hello.\", \"output\": \"Hello!\"}\n"
            + "{\"instruction\": \"What is 2 + 2?\", \"output\": \"4\"}\n");
    Path recipe = temp.resolve("recipe.yaml");
    Files.writeString(
        recipe,
        "base_model: "
            + model
            + "\ndatasets: [{path: rows.jsonl, type: alpaca}]\n"
            + "test_datasets: [{path: rows.jsonl, type: alpaca}]\n"
            + "sequence_len: 64\nlearning_rate: 1e-3\noutput_dir: out\n");
    double before = TrainFromRecipe.run(recipe, List.of("max_steps=1")).orElseThrow();
    double after =
        TrainFromRecipe.run(recipe, List.of("max_steps=4", "overwrite_output_dir=true"))
            .orElseThrow();
    assertTrue(after < before, before + " to " + after);
    Path out = temp.resolve("out");
    for (String file :
        List.of(
            "adapter_config.json", "adapter_model.safetensors", "metrics.jsonl", "recipe.yaml")) {
      assertTrue(Files.isRegularFile(out.resolve(file)), file);
    }
    assertEquals(5, Files.readAllLines(out.resolve("metrics.jsonl")).size());
    assertFalse(Files.readString(out.resolve("recipe.yaml")).isBlank());
  }
}
