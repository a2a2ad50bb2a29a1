package ai.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.WholeDirectory;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Processes that are told to end, in whatever they are at. */
final class SignalTest {
  /** Of a request to end; a scheduler's is 30 and more, but this machine may be at other things. */
  private static final double GRACE_SECONDS = 30;

  private static final String RECIPE =
      """
      base_model: chat
      datasets: [{path: rows.jsonl, type: text}]
      test_datasets: [{path: test.jsonl, type: text}]
      learning_rate: 0.01
      sequence_len: 64
      micro_batch_size: 2
      gradient_accumulation_steps: 2
      max_steps: 40
      lora_r: 4
      lora_dropout: 0.1
      lora_target_modules: [q_proj]
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
    rows("rows.jsonl", 9);
    rows("test.jsonl", 4);
    Files.writeString(temp.resolve("a.yaml"), RECIPE);
  }

  private void rows(String name, int count) throws IOException {
    StringBuilder rows = new StringBuilder();
    for (int i = 0; i < count; i++) {
      rows.append("{\"text\": \"").append("abc".repeat(i % 4 + 1)).append("\"}\n");
    }
    Files.writeString(temp.resolve(name), rows.toString());
  }

  private Process train(String... sets) {
    String[] args = new String[3 + 2 * sets.length];
    args[0] = "train";
    args[1] = "--config";
    args[2] = "a.yaml";
    for (int i = 0; i < sets.length; i++) {
      args[3 + 2 * i] = "--set";
      args[4 + 2 * i] = sets[i];
    }
    return jvm.start(Nibble.class, args);
  }

  private byte[] adapter(String output) throws IOException {
    return Files.readAllBytes(temp.resolve(output).resolve("adapter_model.safetensors"));
  }

  private Optional<SavedCheckpoint> newest() {
    return CheckpointFolder.newest(
        temp.resolve("out"),
        line -> {
          throw new AssertionError(line);
        });
  }

  private void endsWith(int code, Process process, long start) throws InterruptedException {
    assertEquals(code, jvm.finished(process), jvm.log());
    double seconds = (System.nanoTime() - start) / 1e9;
    assertTrue(seconds < GRACE_SECONDS, seconds + " s: " + jvm.log());
  }

  /** Each line: a signal, its code, what the process is at, and a setting that makes that long. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "TERM | 143 | step 3/40 | eval_steps=null",
        "INT | 130 | step 3/40 | save_steps=1",
        "HUP | 129 | step 3/40 | warmup_steps=30",
        "TERM | 143 | eval at step 2 | eval_steps=1",
      })
  void itFinishesTheStepAndSavesIt(String signal, int code, String at, String set)
      throws Exception {
    assertEquals(0, jvm.finished(train(set, "output_dir=whole")), jvm.log());
    Process process = train(set);
    jvm.await(process, at);
    long start = System.nanoTime();
    ChildJvm.signal(process, signal);
    // a run that was through before its signal went out shows nothing of it: another, twice at most
    for (int more = 2; more > 0 && jvm.finished(process) == 0; more--) {
      WholeDirectory.delete(temp.resolve("out"));
      process = train(set);
      jvm.await(process, at);
      start = System.nanoTime();
      ChildJvm.signal(process, signal);
    }
    endsWith(code, process, start);
    assertTrue(jvm.log().contains("go on with --set resume_from_checkpoint=auto"), jvm.log());
    assertTrue(newest().orElseThrow().state().step() >= 2);
    assertFalse(Files.exists(temp.resolve("out/adapter_model.safetensors")));
    assertEquals(0, jvm.finished(train(set)), jvm.log());
    assertTrue(jvm.log().contains("resumed"), jvm.log());
    assertArrayEquals(adapter("whole"), adapter("out"));
  }

  /** The evaluation alone would take minutes. */
  @Test
  void inAnEvaluationItDoesNotWaitForItsEnd() throws Exception {
    rows("test.jsonl", 100_000);
    Process process = train("eval_steps=1", "eval_batch_size=1");
    jvm.await(process, "step 1/40");
    ChildJvm.signal(process, "TERM");
    endsWith(143, process, System.nanoTime());
    assertEquals(1, newest().orElseThrow().state().step());
  }

  /**
   * The run is one that would go on for hours: of one with 37 steps left, all were done where this
   * machine was busy for as long before the first signal went out, and it ended with 0.
   */
  @Test
  void aSecondSignalAndAThirdDoNotTearTheCheckpoint() throws Exception {
    Process process = train("save_steps=1", "save_total_limit=2", "max_steps=1000000");
    jvm.await(process, "step 3/");
    long start = System.nanoTime();
    for (String signal : new String[] {"TERM", "INT", "HUP", "TERM"}) {
      ChildJvm.signal(process, signal);
    }
    int code = jvm.finished(process);
    assertTrue(code >= 129, code + ": " + jvm.log());
    assertTrue((System.nanoTime() - start) / 1e9 < GRACE_SECONDS);
    assertTrue(newest().orElseThrow().state().step() >= 3);
  }

  /** 400,000 rows take seconds to read. */
  @Test
  void whileRowsAreReadItEndsAtOnceAndLeavesNothing() throws Exception {
    rows("rows.jsonl", 400_000);
    Process process = train();
    jvm.await(process, "seed: ");
    Thread.sleep(500);
    ChildJvm.signal(process, "TERM");
    endsWith(143, process, System.nanoTime());
    assertTrue(jvm.log().contains("stopped while reading rows, before any step"), jvm.log());
    assertFalse(Files.exists(temp.resolve("out")));
  }
}
