package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.TrainerState;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A recipe with packs, from its rows to its checkpoints. */
final class PackedRecipeTest {
  private static final String RECIPE =
      """
      base_model: chat
      datasets: [{path: rows.jsonl, type: text}]
      val_set_size: 2
      learning_rate: 0.01
      sequence_len: 16
      lora_r: 2
      save_steps: 1
      output_dir: out
      seed: 1
      """;

  @TempDir Path temp;

  /** Texts of 1 to 12 bytes, each with its end. */
  private String run(String... sets) throws IOException {
    TinyChat.write(temp.resolve("chat"));
    StringBuilder rows = new StringBuilder();
    for (int i = 0; i < 14; i++) {
      rows.append("{\"text\": \"").append("abcdefghijkl", 0, 1 + i % 12).append("\"}\n");
    }
    Files.writeString(temp.resolve("rows.jsonl"), rows);
    Path file = Files.writeString(temp.resolve("a.yaml"), RECIPE);
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    new RecipeRun(RecipeLoader.load(file, List.of(sets)), out, false).run();
    return bytes.toString(StandardCharsets.UTF_8);
  }

  private TrainerState state() {
    return CheckpointFolder.newest(temp.resolve("out"), line -> {}).orElseThrow().state();
  }

  @Test
  void theRunSaysHowFullItsPacksAreAndGoesOnInTheSameOrderOnly() throws IOException {
    String packed = run("sample_packing=true", "max_steps=2");
    assertTrue(
        packed
            .lines()
            .anyMatch(l -> l.matches("packed 12 rows into \\d packs of up to 16 tokens, .*full")),
        packed);
    assertTrue(packed.contains("\npacked for evaluation 2 rows into "), packed);
    assertEquals("packs of up to 16 tokens", state().order());
    assertEquals(2, state().position());

    String[] more = {"sample_packing=true", "max_steps=3", "resume_from_checkpoint=auto"};
    String same = run(more[0], more[1], more[2], "resume_with_changes=true");
    assertFalse(same.contains("another order"), same);
    assertEquals(3, state().position());

    String[] rows = {"max_steps=4", "resume_from_checkpoint=auto", "resume_with_changes=true"};
    String unpacked = run(rows);
    assertTrue(
        unpacked.contains("resume_with_changes: 'sample_packing' was true, is false\n"), unpacked);
    assertTrue(
        unpacked.contains("the rows came in another order before: this epoch begins again\n"),
        unpacked);
    assertFalse(unpacked.contains("packed "), unpacked);
    assertEquals("rows, shuffled", state().order());
    assertEquals(1, state().position());
  }
}
