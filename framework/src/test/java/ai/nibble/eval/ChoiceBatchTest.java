package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.TinyChat;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Log-likelihoods against the model's own logits, text by text. */
class ChoiceBatchTest {
  /**
   * Logits of this model are below 40, so float32 rounds each to 2e-6; a sum has up to 30 of them,
   * and a log-softmax as much error again.
   */
  private static final double TOLERANCE = 5e-4;

  @TempDir Path folder;
  private long liveBefore;
  private CausalLm model;
  private Subject subject;

  @BeforeEach
  void load() throws IOException {
    liveBefore = Tensor.live();
    TinyChat.write(folder);
    model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
    subject = new Subject(null, model, 100, 0, new Scope());
  }

  @AfterEach
  void everyTensorIsClosed() {
    model.close();
    assertEquals(liveBefore, Tensor.live());
  }

  /** By softmax of all logits in double precision. */
  private double expected(ChoiceBatch.Text text) {
    int n = text.ids().length;
    int[] positions = IntStream.range(0, n).toArray();
    double sum = 0;
    try (Tensor all = model.logits(text.ids(), Pass.evaluating(0, n), positions)) {
      float[] logits = all.toFloats();
      int width = logits.length / n;
      for (int t = text.from(); t < n; t++) {
        float[] row = Arrays.copyOfRange(logits, (t - 1) * width, t * width);
        double total = IntStream.range(0, width).mapToDouble(v -> Math.exp(row[v])).sum();
        sum += row[text.ids()[t]] - Math.log(total);
      }
    }
    return sum;
  }

  private static ChoiceBatch.Text text(Random random, int[] before, int length, int from) {
    int[] ids = Arrays.copyOf(before, before.length + length);
    for (int i = before.length; i < ids.length; i++) {
      ids[i] = random.nextInt(250);
    }
    return new ChoiceBatch.Text(ids, from);
  }

  private static List<List<ChoiceBatch.Text>> groups() {
    Random random = new Random(11);
    int[] context = random.ints(90, 0, 250).toArray();
    int[] brief = {7};
    return List.of(
        // a long context, choices of several lengths
        List.of(
            text(random, context, 3, 90),
            text(random, context, 30, 90),
            text(random, context, 1, 90)),
        // choices of one token, all predicted at one place
        List.of(text(random, context, 1, 90), text(random, context, 1, 90)),
        // a choice that another begins with, and twice the same
        List.of(
            new ChoiceBatch.Text(new int[] {1, 2, 3}, 1),
            new ChoiceBatch.Text(new int[] {1, 2, 3, 4, 5}, 1),
            new ChoiceBatch.Text(new int[] {1, 2, 3}, 1)),
        // nothing shared, and other places to count from
        List.of(text(random, new int[] {3}, 8, 2), text(random, new int[] {4}, 5, 4)),
        // the prefix ends before what counts, and within it
        List.of(text(random, brief, 9, 5), text(random, brief, 9, 5)));
  }

  @Test
  void sumsAreThoseOfEveryTextByItself() {
    ChoiceBatch batch = new ChoiceBatch();
    groups().forEach(batch::add);
    List<double[]> sums = batch.sums(subject);
    assertEquals(groups().size(), sums.size());
    for (int g = 0; g < sums.size(); g++) {
      double[] expected = groups().get(g).stream().mapToDouble(this::expected).toArray();
      assertArrayEquals(expected, sums.get(g), TOLERANCE, "group " + g);
    }
  }

  @Test
  void whatGroupsShareIsComputedOnce() {
    ChoiceBatch batch = new ChoiceBatch();
    batch.add(groups().get(0));
    // 90 tokens of context, and of three choices all but the last token: 2, 29 and 0
    assertEquals(90 + 2 + 29, batch.tokens());
    batch.add(groups().get(3));
    assertEquals(121 + 8 + 5, batch.tokens());
  }

  @Test
  void aBatchIsWhatItsGroupsAreAlone() {
    List<double[]> alone = new ArrayList<>();
    for (List<ChoiceBatch.Text> group : groups()) {
      ChoiceBatch batch = new ChoiceBatch();
      batch.add(group);
      alone.addAll(batch.sums(subject));
    }
    ChoiceBatch batch = new ChoiceBatch();
    groups().forEach(batch::add);
    List<double[]> together = batch.sums(subject);
    for (int g = 0; g < alone.size(); g++) {
      assertArrayEquals(alone.get(g), together.get(g), TOLERANCE);
    }
  }

  @Test
  void aModelThatGivesNoNumbersIsRefused() {
    DenseWeight weight = (DenseWeight) model.linears().values().iterator().next().weight();
    weight.tensor().floats().put(0, Float.NaN);
    ChoiceBatch batch = new ChoiceBatch();
    batch.add(groups().get(2));
    InvalidInputException e = assertThrows(InvalidInputException.class, () -> batch.sums(subject));
    assertTrue(e.getMessage().contains("log-likelihood NaN"), e.getMessage());
  }
}
