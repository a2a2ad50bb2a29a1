package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.FileSum.State;
import ai.nibble.InvalidInputException;
import ai.nibble.NibbleVersion;
import ai.nibble.Sha256;
import ai.nibble.TinyChat;
import ai.nibble.report.ProvenanceFile;
import ai.nibble.report.RunFile;
import ai.nibble.report.Verification;
import ai.nibble.report.Verification.Part;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import ai.nibble.train.TrainingInterruptedException;
import ai.nibble.train.log.AnswerSamples;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a run leaves of itself: run.json, provenance.json, report.html; and whether it holds. */
final class RunFilesTest {
  private static final String ROW =
      "{\"messages\": [{\"role\": \"user\", \"content\": \"%s\"},"
          + " {\"role\": \"assistant\", \"content\": \"%s\"}]}\n";

  @TempDir Path temp;
  private RecipeFiles files;
  private Path out;
  private long live;

  @BeforeEach
  void makeFiles() throws IOException {
    live = Tensor.live();
    files = new RecipeFiles(temp);
    out = temp.resolve("out");
    TinyChat.write(temp.resolve("chat"));
    files.write("train.jsonl", ROW.formatted("a", "b") + ROW.formatted("c", "d"));
    files.write("held.jsonl", ROW.formatted("</script>", "{}"));
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(live, Tensor.live());
  }

  private Recipe recipe(String more, String... sets) throws IOException {
    return files.loadText(
        """
        base_model: chat
        datasets: [{path: train.jsonl, type: messages}]
        learning_rate: 0.02
        lora_r: 4
        bnb_4bit_compute_dtype: float32
        sequence_len: 64
        max_steps: 4
        save_steps: 2
        output_dir: out
        """
            + more,
        sets);
  }

  private static String run(Recipe recipe, TrainListener... listeners) {
    ByteArrayOutputStream printed = new ByteArrayOutputStream();
    RecipeRun run =
        new RecipeRun(recipe, new PrintStream(printed, true, StandardCharsets.UTF_8), false);
    List.of(listeners).forEach(run::listen);
    run.run();
    return printed.toString(StandardCharsets.UTF_8);
  }

  private static Verification verify(Path directory) throws IOException {
    return Verification.of(
        directory, new Verification.Places(Optional.empty(), Map.of(), List.of()));
  }

  private static List<String> bad(Verification verification) {
    return verification.items().stream()
        .filter(item -> item.state() != State.OK)
        .map(item -> item.part() + " " + item.name() + " " + item.state())
        .toList();
  }

  @Test
  void provenanceNamesAllThatWentIn() throws Exception {
    run(recipe("test_datasets: [{path: held.jsonl, type: messages}]\nseed: 7\n"));
    ProvenanceFile provenance = ProvenanceFile.read(out);
    assertEquals(4, provenance.step());
    assertEquals(7, provenance.seed());
    assertEquals("float32", provenance.computeDtype());
    assertEquals(NibbleVersion.text(), provenance.environment().nibble());
    assertEquals(Torch.version(), provenance.environment().libtorch());
    assertEquals(4, provenance.recipe().get("lora_r").asInt());
    assertEquals(
        Set.of("adapter_config.json", "adapter_model.safetensors", "recipe.yaml"),
        provenance.files().keySet());
    assertEquals(
        Sha256.of(out.resolve("adapter_model.safetensors")),
        provenance.files().get("adapter_model.safetensors").sha256());
    assertEquals(
        Set.of(
            "config.json",
            "tokenizer.json",
            "tokenizer_config.json",
            "chat_template.jinja",
            "model.safetensors"),
        provenance.base().files().keySet());
    assertEquals(
        Sha256.of(temp.resolve("chat/model.safetensors")),
        provenance.base().files().get("model.safetensors").sha256());
    assertEquals(
        List.of("datasets.0", "test_datasets.0"),
        provenance.data().stream().map(ProvenanceFile.Data::key).toList());
    assertEquals(Sha256.of(temp.resolve("held.jsonl")), provenance.data().get(1).sha256());
    assertEquals(2, provenance.rows().get("train").rows());
    assertEquals(1, provenance.rows().get("eval").rows());
    // the run's identity in a checkpoint tells the same rows by the first digits of the same sum
    String state = Files.readString(out.resolve("checkpoint-2/trainer_state.json"));
    assertTrue(state.contains(provenance.rows().get("train").sha256().substring(0, 16)), state);
    assertEquals(2, ProvenanceFile.read(out.resolve("checkpoint-2")).step());
    Path random = temp.resolve("scratch");
    run(recipe("adapter: none\ninit: random\n", "output_dir=" + random));
    ProvenanceFile scratch = ProvenanceFile.read(random);
    assertFalse(scratch.base().files().containsKey("model.safetensors"), "it was not read");
    assertTrue(scratch.files().containsKey("model.safetensors"), "" + scratch.files());
    assertEquals(List.of(), bad(verify(random)));
  }

  @Test
  void verifyingTellsWhatIsChangedAndWhatIsMissing() throws Exception {
    run(recipe(""));
    Path checkpoint = out.resolve("checkpoint-4");
    assertTrue(verify(out).holds());
    assertTrue(verify(checkpoint).holds());
    // a bit of the adapter, a letter of the recipe, a row, the tokenizer
    Path weights = out.resolve("adapter_model.safetensors");
    byte[] bytes = Files.readAllBytes(weights);
    bytes[bytes.length - 1] ^= 1;
    Files.write(weights, bytes);
    Files.writeString(out.resolve("recipe.yaml"), "seed: 1\n");
    files.write("train.jsonl", ROW.formatted("a", "c") + ROW.formatted("c", "d"));
    Files.delete(temp.resolve("chat/tokenizer.json"));
    assertEquals(
        List.of(
            "OUTPUT adapter_model.safetensors CHANGED",
            "OUTPUT recipe.yaml CHANGED",
            "BASE tokenizer.json MISSING",
            "DATA datasets.0 CHANGED"),
        bad(verify(out)));
    Verification.Places own =
        new Verification.Places(Optional.empty(), Map.of(), List.of(Part.BASE, Part.DATA));
    assertTrue(Verification.of(checkpoint, own).holds());
    Files.delete(checkpoint.resolve("training_state.safetensors"));
    assertEquals(
        List.of("OUTPUT training_state.safetensors MISSING"),
        bad(Verification.of(checkpoint, own)));
  }

  @Test
  void baseAndDataAreFoundWhereTheyAreNow() throws Exception {
    run(recipe(""));
    Path base = temp.resolve("elsewhere");
    Files.move(temp.resolve("chat"), base);
    Path rows = temp.resolve("moved.jsonl");
    Files.move(temp.resolve("train.jsonl"), rows, StandardCopyOption.ATOMIC_MOVE);
    assertFalse(verify(out).holds());
    Map<String, Path> data = Map.of("datasets.0", rows);
    Verification.Places places = new Verification.Places(Optional.of(base), data, List.of());
    assertEquals(List.of(), bad(Verification.of(out, places)));
  }

  @Test
  void aPathInPlaceOfANameIsRefused() throws Exception {
    run(recipe(""));
    Path file = out.resolve("provenance.json");
    String text = Files.readString(file);
    Files.writeString(file, text.replace("\"recipe.yaml\"", "\"../train.jsonl\""));
    assertThrows(InvalidInputException.class, () -> verify(out));
    Files.writeString(file, "{}");
    Exception e = assertThrows(InvalidInputException.class, () -> verify(out));
    assertTrue(e.getMessage().contains("expected version 1"), e.getMessage());
    Files.delete(file);
    e = assertThrows(InvalidInputException.class, () -> verify(out));
    assertTrue(e.getMessage().contains("has no provenance.json"), e.getMessage());
  }

  @Test
  void aFinishedRunHasAPageAndListenersHearIt() throws Exception {
    List<Integer> steps = new ArrayList<>();
    List<AnswerSamples> answers = new ArrayList<>();
    String printed =
        run(
            recipe("generation_eval: {path: held.jsonl, max_new_tokens: 4}\n"),
            new TrainListener() {
              @Override
              public void stepEnded(StepMetrics metrics) {
                steps.add(metrics.step());
              }

              @Override
              public void answersShown(AnswerSamples samples) {
                answers.add(samples);
              }
            });
    assertEquals(List.of(1, 2, 3, 4), steps);
    assertEquals(2, answers.size());
    assertEquals(4, answers.get(1).step());
    assertEquals("</script>", answers.get(1).samples().get(0).request());
    assertTrue(printed.contains("report " + out.resolve("report.html")), printed);
    String page = Files.readString(out.resolve("report.html"));
    assertTrue(page.contains("Finished · step 4 of 4"), page);
    assertTrue(page.contains("&lt;/script&gt;"), page);
    assertTrue(page.contains("checkpoint-2"), page);
    assertTrue(page.contains(Sha256.of(out.resolve("adapter_model.safetensors"))), page);
    RunFile run = RunFile.read(out).orElseThrow();
    assertEquals(2, run.data().get(0).encoding().examples());
    assertEquals(1, run.sessions().size());
    assertEquals("finished", run.sessions().get(0).status());
  }

  @Test
  void aRunThatIsStoppedAndGoneOnWithTellsBothSessions() throws Exception {
    RecipeRun first =
        new RecipeRun(recipe(""), new PrintStream(new ByteArrayOutputStream()), false);
    int[] done = {0};
    first.listen(
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            done[0] = metrics.step();
          }
        });
    first.stopWhen(() -> done[0] == 3);
    assertThrows(TrainingInterruptedException.class, first::run);
    assertTrue(Files.readString(out.resolve("report.html")).contains("Stopped · step 3 of 4"));
    assertFalse(Files.exists(out.resolve("provenance.json")), "only the checkpoint has one");
    assertTrue(verify(out.resolve("checkpoint-3")).holds());
    assertEquals(List.of(), ProvenanceFile.read(out.resolve("checkpoint-3")).resumedFromSteps());
    run(recipe("", "resume_from_checkpoint=auto"));
    List<RunFile.Session> sessions = RunFile.read(out).orElseThrow().sessions();
    assertEquals(2, sessions.size());
    assertEquals("stopped", sessions.get(0).status());
    assertEquals(3, sessions.get(1).firstStep());
    assertEquals("finished", sessions.get(1).status());
    assertEquals(4, ProvenanceFile.read(out).step());
    assertEquals(List.of(3), ProvenanceFile.read(out).resumedFromSteps());
    assertTrue(verify(out).holds());
  }

  @Test
  void aRunThatFailsHasAPageThatSaysWhy() throws Exception {
    Recipe recipe = recipe("");
    TrainListener fails =
        new TrainListener() {
          @Override
          public void stepEnded(StepMetrics metrics) {
            if (metrics.step() == 3) {
              throw new IllegalStateException("no <more>");
            }
          }
        };
    assertThrows(IllegalStateException.class, () -> run(recipe, fails));
    String page = Files.readString(out.resolve("report.html"));
    assertTrue(page.contains("Failed · step 3 of 4"), page);
    assertTrue(page.contains(">no &lt;more&gt;<"), page);
    assertTrue(page.contains("<figure"), page);
  }

  @Test
  void whatTheRunWroteIsOverwrittenWithIt() throws Exception {
    run(recipe("report_to: [jfr]\n"));
    assertTrue(Files.size(out.resolve("recording.jfr")) > 0);
    assertFalse(Files.exists(out.resolve("runs")));
    run(recipe("report_to: []\n", "overwrite_output_dir=true"));
    assertFalse(Files.exists(out.resolve("recording.jfr")));
    assertEquals(1, RunFile.read(out).orElseThrow().sessions().size());
  }

  /** What is learned of other rows makes a long answer that is in none of them worse at once. */
  @Test
  void whatIsSaidOfTheResultIsSaidOfItsStep() throws IOException {
    String more =
        """
        test_datasets: [{path: held.jsonl, type: messages}]
        eval_steps: 1
        load_best_model_at_end: true
        generation_eval: {path: held.jsonl, max_new_tokens: 2}
        """;
    ByteArrayOutputStream told = new ByteArrayOutputStream();
    files.write("held.jsonl", ROW.formatted("a", "q".repeat(16)));
    Recipe recipe = recipe(more, "learning_rate=0.1", "max_steps=6", "save_steps=1");
    new RecipeRun(recipe, new PrintStream(told, true, StandardCharsets.UTF_8), false).run();
    int step = ProvenanceFile.read(out).step();
    assertTrue(step < 6, "the last is the best: the test shows nothing");
    String printed = told.toString(StandardCharsets.UTF_8);
    assertTrue(printed.contains("exact match 0.0 % (0 of 1) at step " + step + ", "), printed);
    List<String> metrics = Files.readAllLines(out.resolve("metrics.jsonl"));
    String last = metrics.get(metrics.size() - 1);
    assertTrue(last.startsWith("{\"step\":" + step + ",\"exact_match\":0.0,"), last);
    String page = Files.readString(out.resolve("report.html"));
    assertTrue(page.contains("<small>at step " + step + ", the result; last "), page);
  }
}
