package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.WholeDirectory;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Processes that are killed while they train, and the same command again. {@code
 * -Dnibble.kills=1000} kills that often; without it a few times.
 */
final class KilledRunTest {
  private static final int KILLS = Integer.getInteger("nibble.kills", 4);

  /** Long enough that a kill between the first and the last step is likely. */
  private static final String RECIPE =
      """
      base_model: chat
      datasets: [{path: rows.jsonl, type: text}]
      learning_rate: 0.01
      sequence_len: 16
      sample_packing: true
      micro_batch_size: 2
      gradient_accumulation_steps: 2
      max_steps: 120
      lora_r: 4
      lora_dropout: 0.1
      save_steps: 3
      save_total_limit: 2
      logging_steps: 1
      report_to: []
      output_dir: out
      resume_from_checkpoint: auto
      """;

  @TempDir Path temp;
  private ChildJvm jvm;

  @BeforeEach
  void write() throws IOException {
    jvm = new ChildJvm(temp);
    TinyChat.write(temp.resolve("chat"));
    StringBuilder rows = new StringBuilder();
    for (int i = 0; i < 9; i++) {
      rows.append("{\"text\": \"").append("abc".repeat(i % 4 + 1)).append("\"}\n");
    }
    Files.writeString(temp.resolve("rows.jsonl"), rows.toString());
    Files.writeString(temp.resolve("a.yaml"), RECIPE);
  }

  private Process start(String... more) {
    List<String> args = new ArrayList<>(List.of("train", "--config", "a.yaml"));
    args.addAll(List.of(more));
    return jvm.start(Nibble.class, args.toArray(String[]::new));
  }

  private String log() {
    return jvm.log();
  }

  private int finished(Process process) throws InterruptedException {
    return jvm.finished(process);
  }

  private byte[] adapter(String output) throws IOException {
    return Files.readAllBytes(temp.resolve(output).resolve("adapter_model.safetensors"));
  }

  private void trainWithoutInterruption() throws IOException, InterruptedException {
    assertEquals(0, finished(start("--set", "output_dir=whole")), log());
  }

  @Test
  void killedAtRandomMomentsAndStartedAgainItEndsWithTheSameAdapter() throws Exception {
    jvm.archiveClasses();
    trainWithoutInterruption();
    Random random = new Random(11);
    long start = System.nanoTime();
    int kills = 0;
    int ends = 0;
    for (int tries = 0; kills < KILLS && tries < 3 * KILLS; tries++) {
      Process process = start();
      jvm.await(process, "/120  epoch", 1 + random.nextInt(16));
      Thread.sleep(random.nextInt(20));
      process.destroyForcibly();
      kills += finished(process) == 0 ? 0 : 1;
      if (Files.exists(temp.resolve("out/adapter_model.safetensors"))) {
        assertArrayEquals(adapter("whole"), adapter("out"), log());
        ends++;
        removeOutput();
      }
      if (tries % 50 == 49) {
        tell(kills, start, ends);
      }
    }
    assertTrue(kills > 0, "no process was killed");
    assertEquals(0, finished(start()), log());
    assertArrayEquals(adapter("whole"), adapter("out"));
    tell(kills, start, ends + 1);
  }

  private static void tell(int kills, long start, int ends) {
    System.out.printf(
        Locale.ROOT,
        "killed %d times in %.0f s; each of the %d adapters in the end has the same bits%n",
        kills,
        (System.nanoTime() - start) / 1e9,
        ends);
  }

  private void removeOutput() throws IOException {
    WholeDirectory.delete(temp.resolve("out"));
  }

  @Test
  void toldToEndItFinishesTheStepSavesAndTellsHowToGoOn() throws Exception {
    trainWithoutInterruption();
    Process process = start();
    jvm.await(process, "/120  epoch");
    process.destroy();
    int code = finished(process);
    assertNotEquals(0, code, "it was over before the signal came: " + log());
    assertEquals(143, code, log());
    assertTrue(log().contains("go on with --set resume_from_checkpoint=auto"), log());
    assertEquals(0, finished(start()), log());
    assertTrue(log().contains("resumed"), log());
    assertArrayEquals(adapter("whole"), adapter("out"));
  }

  @Test
  void changedSettingsAreRefusedWithEveryDifference() throws Exception {
    assertEquals(0, finished(start()), log());
    assertEquals(2, finished(start("--set", "learning_rate=0.02", "--set", "seed=7")), log());
    assertTrue(log().contains("'learning_rate' was 0.01, is 0.02"), log());
    assertTrue(log().contains("'seed' was 42, is 7"), log());
    assertTrue(log().contains("resume_with_changes: true"), log());
    byte[] before = adapter("out");
    Files.writeString(temp.resolve("rows.jsonl"), "{\"text\": \"cba\"}\n");
    assertEquals(2, finished(start()), log());
    assertTrue(log().contains("'training rows' was 9 rows"), log());
    assertArrayEquals(before, adapter("out"));
  }
}
