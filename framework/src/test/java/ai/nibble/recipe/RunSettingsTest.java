package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.data.RowOrder;
import ai.nibble.data.TrainingRows;
import ai.nibble.optim.Schedule;
import ai.nibble.train.TrainSettings;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** How many steps a run has. */
final class RunSettingsTest {
  @TempDir Path temp;

  private int steps(String more, int rows) throws IOException {
    int[] lengths = new int[rows];
    Arrays.fill(lengths, 1);
    return settings(new RecipeFiles(temp).load(more), lengths).totalSteps();
  }

  private static TrainSettings settings(Recipe recipe, int... lengths) {
    return RunSettings.of(recipe, RunSettings.plan(recipe, TrainingRows.of(rows(lengths))));
  }

  private static List<Example> rows(int... lengths) {
    return Arrays.stream(lengths).mapToObj(n -> new Example(new int[n], new int[n])).toList();
  }

  @Test
  void epochsAreCountedInOptimizerSteps() throws IOException {
    assertEquals(20, steps("", 20));
    assertEquals(
        6, steps("micro_batch_size: 4\ngradient_accumulation_steps: 2\nnum_epochs: 2\n", 20));
    assertEquals(8, steps("micro_batch_size: 4\nnum_epochs: 1.5\n", 20));
    assertEquals(7, steps("max_steps: 7\nnum_epochs: 1000000\n", 3_000));
    assertEquals(2_147_000_000, steps("num_epochs: 1000000\n", 2_147));
  }

  @Test
  void aFractionOfAnEpochIsAsItIsWritten() throws IOException {
    assertEquals(11, steps("num_epochs: 1.1\n", 10));
    assertEquals(12, steps("num_epochs: 1.11\n", 10));
    assertEquals(1, steps("num_epochs: 0.001\n", 10));
  }

  /** Epochs whose packs differ in number: as many steps as a sampler takes to draw them. */
  @Test
  void everyEpochsPacksAreCounted() throws IOException {
    int[] lengths = IntStream.range(0, 600).map(i -> i * 37 % 101 + 1).toArray();
    String more =
        "sample_packing: true\nmicro_batch_size: 3\ngradient_accumulation_steps: 2\nseed: 7\n"
            + "num_epochs: %s\n";
    int steps = 0;
    Set<Integer> counts = new TreeSet<>();
    EpochSampler sampler =
        new EpochSampler(new EpochPlan(rows(lengths), new RowOrder.Packed(128), 7), 3);
    for (int epoch = 0; epoch < 4; epoch++) {
      int batches = 0;
      do {
        sampler.next();
        batches++;
      } while (!sampler.isAtEpochEnd());
      int here = (batches + 1) / 2;
      counts.add(here);
      int half = settings(recipe(more, epoch + ".5"), lengths).totalSteps();
      assertEquals(steps + (here + 1) / 2, half);
      steps += here;
      String whole = Integer.toString(epoch + 1);
      assertEquals(steps, settings(recipe(more, whole), lengths).totalSteps());
    }
    assertTrue(counts.size() > 1, "the epochs differ: " + counts);
  }

  private static int[] tenRows() {
    return new int[] {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
  }

  private Recipe recipe(String more, String epochs) throws IOException {
    return new RecipeFiles(temp).load(more.formatted(epochs));
  }

  @Test
  void ordersAreAsTheRecipeSays() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    int[] lengths = {5, 6, 7};
    TrainSettings packed = settings(files.load("packing: true\n"), lengths);
    assertEquals(new RowOrder.Packed(128), packed.order());
    assertEquals(new RowOrder.Packed(128), packed.evalOrder());
    TrainSettings train =
        settings(files.load("sample_packing: true\neval_sample_packing: false\n"), lengths);
    assertEquals(RowOrder.AS_GIVEN, train.evalOrder());
    TrainSettings grouped =
        settings(files.load("group_by_length: true\nmicro_batch_size: 2\n"), lengths);
    assertEquals(new RowOrder.LengthGrouped(2), grouped.order());
    TrainSettings plain = settings(files.load(""), lengths);
    assertEquals(RowOrder.SHUFFLED, plain.order());
    assertEquals(RowOrder.AS_GIVEN, plain.evalOrder());
  }

  /** A tenth of ten steps is one, and the warm-up may leave none. */
  @Test
  void aFallThatIsNotGivenTakesWhatTheWarmUpLeaves() throws IOException {
    String wsd = "lr_scheduler: warmup_stable_decay\nwarmup_steps: ";
    RecipeFiles files = new RecipeFiles(temp);
    assertEquals(
        new Schedule.WarmupStableDecay(9, 10, 1, 0),
        settings(files.load(wsd + "9\n"), tenRows()).schedule());
    assertEquals(
        new Schedule.WarmupStableDecay(10, 10, 0, 0),
        settings(files.load(wsd + "10\n"), tenRows()).schedule());
    assertEquals(0.5, settings(files.load(wsd + "20\n"), tenRows()).schedule().multiplier(10));
  }

  /** Ten steps an epoch: evaluations every 3, checkpoints every 10. */
  @Test
  void savesThatNoEvaluationFallsOnAreRefusedOnceTheStepsAreKnown() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    String keys = "val_set_size: 0.1\nsaves_per_epoch: 1\nload_best_model_at_end: true\n";
    assertEquals(10, settings(files.load(keys + "evals_per_epoch: 5\n"), tenRows()).saveSteps());
    Recipe recipe = files.load(keys + "evals_per_epoch: 3\n");
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> settings(recipe, tenRows()));
    assertEquals(
        List.of(
            "a.yaml:8:25: 'load_best_model_at_end' needs an evaluation wherever a checkpoint is,"
                + " but there is one every 3 steps and a checkpoint every 10: set eval_steps, and"
                + " save_steps to a multiple of it"),
        files.relative(e.problems()));
  }

  /** 3,000 rows of text on the shipped base: found before its weights are read. */
  @Test
  void moreStepsThanCanBeCountedAreRefusedAndNothingIsLeftBehind() throws IOException {
    RecipeFiles files = new RecipeFiles(temp);
    files.write("many.jsonl", "{\"text\": \"a\"}\n".repeat(3_000));
    Path base = Shared.root().resolve("models/nibble-5m");
    Recipe recipe =
        files.load(
            "num_epochs: 1000000\n",
            "base_model=" + base,
            "datasets=[{path: " + files.path("many.jsonl") + ", type: text}]");
    PrintStream out =
        new PrintStream(OutputStream.nullOutputStream(), true, StandardCharsets.UTF_8);
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> new RecipeRun(recipe, out, false).run());
    assertEquals(
        List.of(
            "a.yaml:6:13: 'num_epochs' is 1000000, which with 3000 rows makes more than"
                + " 2147483647 optimizer steps: lower it, or set max_steps"),
        files.relative(e.problems()));
    assertFalse(Files.exists(files.path("out")));
  }
}
