package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.TestDevice;
import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Rows that share a pack are computed as if each were alone: nothing of one is in another's logits
 * or gradients. With {@code -Dnibble.device=gpu} on a GPU.
 */
class PackingTest {
  private static final Path BASE = Shared.root().resolve("models/nibble-5m");
  private static final int VOCABULARY = 2048;

  /** Short ones that share a block of attention, and ones that take several. */
  private static final int[] LENGTHS = {5, 90, 140, 33, 2, 200, 17};

  private static CausalLm load(DType dtype) {
    LoadOptions options = new LoadOptions(LoadOptions.nf4().quantization(), dtype);
    return CausalLm.load(BASE, options.on(TestDevice.chosen()));
  }

  /** Adapters that change something: B is not zero as at the start of a run. */
  private static LoraAdapter adapter(CausalLm model) {
    LoraAdapter adapter =
        LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(4, 8).withDropout(0), 1);
    float[] values = new float[Math.toIntExact(adapter.parameters().numel())];
    Random random = new Random(4);
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) (0.02 * random.nextGaussian());
    }
    adapter.parameters().setValues(FloatBuffer.wrap(values));
    return adapter;
  }

  private static Example row(Random random, int length) {
    int[] ids = random.ints(length, 3, VOCABULARY).toArray();
    int[] labels = ids.clone();
    Arrays.fill(labels, 0, length / 3, Example.IGNORED);
    return new Example(ids, labels);
  }

  private static List<Example> rows(long seed) {
    Random random = new Random(seed);
    return Arrays.stream(LENGTHS).mapToObj(length -> row(random, length)).toList();
  }

  /** The loss of micro-batches over all their loss tokens, and its gradient. */
  private record Computed(double loss, float[] gradient) {}

  private static Computed compute(
      CausalLm model, LoraAdapter adapter, List<Batch> batches, Checkpointing checkpointing) {
    int lossTokens = batches.stream().mapToInt(Batch::lossTokens).sum();
    adapter.parameters().grads().zero();
    double sum = 0;
    for (Batch batch : batches) {
      try (Tape tape = Tape.recording()) {
        Pass pass = new Pass(batch.sequenceStarts(), true, 0);
        CausalLm.Loss loss =
            new SupervisedFineTuning().loss(tape, model, batch, pass, lossTokens, checkpointing);
        tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
        sum += loss.sum();
      }
    }
    return new Computed(sum / lossTokens, adapter.parameters().grads().toFloats());
  }

  private static double largest(float[] values) {
    return IntStream.range(0, values.length).mapToDouble(i -> Math.abs(values[i])).max().orElse(0);
  }

  private static double distance(float[] a, float[] b) {
    return IntStream.range(0, a.length).mapToDouble(i -> Math.abs(a[i] - b[i])).max().orElse(0);
  }

  /** Sums in another order: some 2⁻²⁴ each, in float32. */
  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void aPackIsItsRowsOneByOne(Checkpointing checkpointing) {
    List<Example> rows = rows(1);
    try (CausalLm model = load(DType.FLOAT32);
        LoraAdapter adapter = adapter(model)) {
      Computed packed = compute(model, adapter, List.of(Batch.of(rows)), checkpointing);
      List<Batch> alone = rows.stream().map(row -> Batch.of(List.of(row))).toList();
      Computed single = compute(model, adapter, alone, checkpointing);
      assertEquals(single.loss, packed.loss, 1e-6 * single.loss);
      assertEquals(0, distance(single.gradient, packed.gradient), 1e-5 * largest(single.gradient));
    }
  }

  /** One rounding of bfloat16 is 2⁻⁹ of a value; a gradient goes through some dozens. */
  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void aPackIsItsRowsOneByOneInBfloat16(Checkpointing checkpointing) {
    List<Example> rows = rows(1);
    try (CausalLm model = load(DType.BFLOAT16);
        LoraAdapter adapter = adapter(model)) {
      Computed packed = compute(model, adapter, List.of(Batch.of(rows)), checkpointing);
      List<Batch> alone = rows.stream().map(row -> Batch.of(List.of(row))).toList();
      Computed single = compute(model, adapter, alone, checkpointing);
      assertEquals(single.loss, packed.loss, 7.8e-3 * single.loss);
      assertEquals(0, distance(single.gradient, packed.gradient), 0.03 * largest(single.gradient));
    }
  }

  /** The control: the same tokens as one sequence, as packing without borders has them. */
  @Test
  void withoutBordersBetweenRowsTheLossIsAnother() {
    List<Example> rows = rows(1);
    Batch packed = Batch.of(rows);
    int[] labels = packed.labels();
    for (int s = 0; s < packed.sequences(); s++) {
      labels[packed.sequenceStarts()[s]] = Example.IGNORED;
    }
    Batch merged = new Batch(packed.inputIds(), labels, new int[] {0, packed.tokens()});
    assertEquals(packed.lossTokens(), merged.lossTokens());
    try (CausalLm model = load(DType.FLOAT32);
        LoraAdapter adapter = adapter(model)) {
      double isolated = compute(model, adapter, List.of(packed), Checkpointing.NONE).loss;
      double seeing = compute(model, adapter, List.of(merged), Checkpointing.NONE).loss;
      assertTrue(Math.abs(isolated - seeing) > 1e-3 * isolated, isolated + ", " + seeing);
    }
  }

  private static float[] logits(CausalLm model, Batch batch) {
    int[] positions = IntStream.range(0, batch.tokens()).toArray();
    Pass pass = Pass.evaluating(batch.sequenceStarts());
    try (Tensor logits = model.logits(batch.inputIds(), pass, positions)) {
      return logits.toFloats();
    }
  }

  private static float[] of(int row, Batch batch, float[] logits) {
    int[] starts = batch.sequenceStarts();
    return Arrays.copyOfRange(logits, starts[row] * VOCABULARY, starts[row + 1] * VOCABULARY);
  }

  /** Each row in turn, those before and behind it. */
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT32", "BFLOAT16"})
  void anotherRowChangesNoBitOfARowsLogits(DType dtype) {
    List<Example> rows = rows(1);
    List<Example> others = rows(2);
    Batch before = Batch.of(rows);
    try (CausalLm model = load(dtype);
        LoraAdapter adapter = adapter(model)) {
      assertEquals(6 * 7, adapter.modules().size());
      float[] expected = logits(model, before);
      for (int changed = 0; changed < rows.size(); changed++) {
        List<Example> mixed = new ArrayList<>(rows);
        mixed.set(changed, others.get(changed));
        float[] actual = logits(model, Batch.of(mixed));
        for (int row = 0; row < rows.size(); row++) {
          if (row == changed) {
            assertTrue(distance(of(row, before, expected), of(row, before, actual)) > 1e-2);
          } else {
            assertArrayEquals(
                of(row, before, expected),
                of(row, before, actual),
                "row " + row + ", " + changed + " has changed");
          }
        }
      }
    }
  }

  /** A row without loss adds exact zeros to every sum. */
  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void anotherRowChangesNoBitOfTheGradientsOfARowsLoss(Checkpointing checkpointing) {
    try (CausalLm model = load(DType.FLOAT32);
        LoraAdapter adapter = adapter(model)) {
      for (int trained : new int[] {3, 5}) {
        Computed one = onlyLossOf(trained, 1, model, adapter, checkpointing);
        Computed other = onlyLossOf(trained, 2, model, adapter, checkpointing);
        assertTrue(largest(one.gradient) > 0);
        assertEquals(one.loss, other.loss);
        assertEquals(0, distance(one.gradient, other.gradient));
      }
    }
  }

  /** A pack whose other rows, drawn by a seed, carry no loss. */
  private static Computed onlyLossOf(
      int trained, long seed, CausalLm model, LoraAdapter adapter, Checkpointing checkpointing) {
    List<Example> rows = new ArrayList<>();
    for (Example row : rows(seed)) {
      int[] none = new int[row.length()];
      Arrays.fill(none, Example.IGNORED);
      rows.add(new Example(row.inputIds(), none));
    }
    rows.set(trained, rows(3).get(trained));
    return compute(model, adapter, List.of(Batch.of(rows)), checkpointing);
  }
}
