package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.plan.DevicePlan;
import ai.nibble.tensor.Device;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Runs of recipes over several devices, pretended ones. */
final class SplitRecipeTest {
  private static final String ADAPTER = "adapter_model.safetensors";
  private static final String ROW =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"abc\"},"
          + " {\"role\": \"assistant\", \"content\": \"def\"}]}\n";
  private static final String TWO =
      "device_map: {model.embed_tokens: 'cpu:1', model.layers.0: 'cpu:1', model.layers.1: 'cpu:2',"
          + " model.norm: 'cpu:2', lm_head: 'cpu:2'}\n";

  @TempDir Path temp;
  private final ByteArrayOutputStream said = new ByteArrayOutputStream();
  private final PrintStream out = new PrintStream(said, true, StandardCharsets.UTF_8);

  @BeforeEach
  void writeABase() throws IOException {
    TinyChat.of("llama", Map.of(), temp.resolve("chat"));
    Files.writeString(temp.resolve("rows.jsonl"), ROW.repeat(12));
  }

  private Recipe recipe(String output, String more) throws IOException {
    Path file = temp.resolve("a.yaml");
    Files.writeString(
        file,
        "base_model: chat\ndatasets: [{path: rows.jsonl, type: messages}]\nlearning_rate: 0.01\n"
            + "sequence_len: 64\nmax_steps: 4\nlora_r: 4\nmicro_batch_size: 2\n"
            + "gradient_accumulation_steps: 2\nmax_grad_norm: 0.01\nsave_steps: 2\n"
            + "generation_eval: {path: rows.jsonl, type: messages, limit: 2, max_new_tokens: 4}\nval_set_size: 2\n"
            + "bnb_4bit_compute_dtype: float32\nreport_to: []\noutput_dir: "
            + output
            + "\n"
            + more);
    return RecipeLoader.load(file, List.of());
  }

  private byte[] run(String output, String more) throws IOException {
    Recipe recipe = recipe(output, more);
    new RecipeRun(recipe, out, false).run();
    return Files.readAllBytes(temp.resolve(output).resolve(ADAPTER));
  }

  private String said() {
    return said.toString(StandardCharsets.UTF_8);
  }

  @Test
  void theAdapterIsThatOfOneDevice() throws IOException {
    byte[] expected = run("whole", "device_map: cpu\n");
    assertArrayEquals(expected, run("split", TWO));
    assertTrue(said().contains("memory: cpu:1 about "), said());
    assertTrue(said().contains(" for model.embed_tokens, model.layers.0; cpu:2 about "), said());
    assertArrayEquals(
        Files.readAllBytes(temp.resolve("whole/checkpoint-2/training_state.safetensors")),
        Files.readAllBytes(temp.resolve("split/checkpoint-2/training_state.safetensors")));
  }

  /** What one device has not the room for goes on to the next. */
  @Test
  void devicesAreFilledAsTheyHaveRoom() throws IOException {
    byte[] expected = run("whole", "device_map: cpu\n");
    String none = "gradient_checkpointing: none\n";
    String large = none + "max_memory: {'cpu:1': 1KiB, 'cpu:2': 1GiB}\n";
    DevicePlan alone =
        RecipePlan.read(recipe("plan", large), out, List.of()).devices().orElseThrow();
    assertEquals(1, alone.uses().size());
    long all = alone.uses().get(0).total();
    String more =
        "gradient_checkpointing: none\nmax_memory: {'cpu:1': "
            + Math.round(1.1 * 0.75 * all)
            + ", 'cpu:2': 1GiB, cpu: 8GiB}\n";
    RecipePlan plan = RecipePlan.read(recipe("plan", more), out, List.of());
    DevicePlan devices = plan.devices().orElseThrow();
    // the second has room for all of it: nothing need be split
    assertEquals(
        List.of(Device.pretended(2)),
        devices.uses().stream().map(use -> use.room().device()).toList());
    more = more.replace("'cpu:2': 1GiB", "'cpu:2': " + Math.round(1.1 * 0.75 * all));
    plan = RecipePlan.read(recipe("plan", more), out, List.of());
    devices = plan.devices().orElseThrow();
    assertEquals(2, devices.uses().size());
    assertTrue(devices.fits());
    assertArrayEquals(expected, run("split", more));
  }

  @Test
  void whatNoDevicesHaveRoomForIsRefusedBeforeAnythingLoads() throws IOException {
    String more = "max_memory: {'cpu:1': 100KiB, 'cpu:2': 100KiB}\n";
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> run("none", more));
    assertTrue(e.getMessage().contains("a.yaml:1:13: "), e.getMessage());
    assertTrue(e.getMessage().contains(" alone needs "), e.getMessage());
    assertFalse(Files.exists(temp.resolve("none/" + ADAPTER)));
  }
}
