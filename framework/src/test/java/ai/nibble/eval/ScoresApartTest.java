package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.eval.task.ChoiceItem;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.quant.Quant8Config;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.DoubleStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A model in 8 bits whose outlier columns come and go with the rows: scores to the bit, as whatever
 * is computed beside a text would move them.
 */
class ScoresApartTest {
  /** About a third of a column's chance to hold an outlier in a text of some tokens. */
  private static final double THRESHOLD = 2;

  @TempDir Path folder;

  @BeforeEach
  void write() throws IOException {
    TinyChat.write(folder);
  }

  private CausalLm model(double threshold) {
    return CausalLm.load(
        folder,
        new LoadOptions(
            Optional.of(new Quant8Config(threshold, List.of())), DType.FLOAT32, false, Device.CPU));
  }

  private <R extends Record> List<R> results(EvalTask<R> task, CausalLm model, int batchTokens) {
    List<R> results = new ArrayList<>();
    try (ModelText text = ModelText.load(folder, Optional.empty())) {
      Subject subject = new Subject(text, model, batchTokens, 0, new Scope());
      task.evaluate(subject, 0, task.items(text), results::addAll);
    }
    return results;
  }

  private static ChoiceTask choices(List<String> endings) {
    List<ChoiceItem.Choice> all =
        endings.stream().map(e -> new ChoiceItem.Choice("The fox is", " " + e)).toList();
    ChoiceItem item = new ChoiceItem("test", "", "", all, 0);
    return new ChoiceTask("choices", List.of(item, item), FewShot.none(), 2);
  }

  @Test
  void aChoiceScoresTheSameWhateverTheOthersAre() {
    List<String> endings = List.of("quick", "a lazy dog, twice", "ill");
    try (CausalLm model = model(THRESHOLD)) {
      assertFalse(model.rowsAreIndependent());
      double[] each =
          endings.stream()
              .flatMapToDouble(
                  e -> {
                    List<String> twice = List.of(e, e);
                    return DoubleStream.of(results(choices(twice), model, 1000).get(0).scores()[0]);
                  })
              .toArray();
      for (ChoiceTask.Result result : results(choices(endings), model, 1000)) {
        assertArrayEquals(each, result.scores());
      }
    }
  }

  @Test
  void aWindowScoresTheSameWhateverTheBatchIs() throws IOException {
    Path text = Files.writeString(folder.resolve("text.txt"), "Foxes jump. Dogs are lazy, twice.");
    PerplexityTask task = new PerplexityTask("perplexity", text, 8, 8, 100);
    try (CausalLm model = model(THRESHOLD)) {
      assertEquals(results(task, model, 8), results(task, model, 1000));
    }
  }

  @Test
  void withoutOutliersRowsAreIndependent() {
    try (CausalLm model = model(0)) {
      assertTrue(model.rowsAreIndependent());
    }
  }
}
