package ai.nibble.plan;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.data.EpochPlan;
import ai.nibble.data.EpochSampler;
import ai.nibble.data.Example;
import ai.nibble.data.RowOrder;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.ModelShape;
import ai.nibble.model.RandomWeights;
import ai.nibble.model.WeightSizes;
import ai.nibble.nn.Extent;
import ai.nibble.nn.Precision;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class PlannedRunTest {
  private static final long GIB_BYTES = 1L << 30;
  private static final double GIB = GIB_BYTES;
  private static final Precision BFLOAT16 = new Precision(DType.BFLOAT16, DType.BFLOAT16);
  private static final int RANK = 16;

  /** NF4 with rank 16 on all linears of a model of a shape that bench/ has. */
  private static PlannedRun run(String model, MicroBatch batch, int accumulation) {
    return run(model, List.of(batch), accumulation, Device.Type.CUDA);
  }

  private static PlannedRun run(
      String model, List<MicroBatch> batches, int accumulation, Device.Type where) {
    Path base = Shared.root().resolve("bench/models").resolve(model);
    RandomWeights weights = RandomWeights.of(base, 0, notice -> {});
    ModelShape shape =
        ModelShape.of(
            weights.config(),
            DType.BFLOAT16,
            false,
            new ModelShape.Linears(path -> RANK, false, path -> false));
    long parameters =
        weights.names().stream()
            .filter(name -> name.contains("_proj"))
            .mapToLong(name -> RANK * (weights.shape(name)[0] + weights.shape(name)[1]))
            .sum();
    return new PlannedRun(
        shape,
        WeightSizes.of(weights, Optional.of(new Quant4Config(Quant4Type.NF4, 64, true)), where),
        parameters,
        0,
        accumulation,
        2 * 4 * parameters,
        batches,
        Optional.empty(),
        0,
        0,
        0,
        false,
        b -> new Extent(b.sequenceStarts(), BFLOAT16, where, where == Device.Type.CUDA, 1),
        Host.device());
  }

  /**
   * GiB that docs/gpu.md gives for training on an H200 (8B) and an H100 (7B). Its benchmark makes a
   * trainer for each run and keeps those before: two moments and a sum of gradients each. {@code
   * none:4096} is not here, for its figure is that of the larger run before it.
   *
   * @param before runs before this one
   */
  @ParameterizedTest
  @CsvSource({
    "llama-3-8b, block, 4096, 2048, 0, 11.6",
    "llama-3-8b, block, 8192, 2048, 1, 17.0",
    "llama-3-8b, block, 16384, 2048, 2, 26.7",
    "llama-3-8b, selective, 8192, 2048, 3, 33.8",
    "llama-3-8b, selective, 16384, 2048, 4, 59.6",
    "llama-3-8b, none, 8192, 2048, 5, 46.1",
    "llama-3-8b, none, 16384, 2048, 6, 82.9",
    "llama-2-7b, block, 1024, 1024, 0, 5.8",
    "llama-2-7b, selective, 1024, 1024, 1, 8.4",
    "llama-2-7b, none, 1024, 1024, 2, 9.9"
  })
  void aGpuTookWhatIsPlanned(
      String model, String mode, int tokens, int length, int before, double measured) {
    PlannedRun run = run(model, MicroBatch.of(tokens / length, length), 1);
    Checkpointing checkpointing = Checkpointing.valueOf(mode.toUpperCase(Locale.ROOT));
    long trainers = 3L * before * DType.FLOAT32.bytes() * run.parameters();
    double planned = (run.plan(checkpointing).total(Phase.TRAIN) + trainers) / GIB;
    assertEquals(measured, planned, 0.05 * measured);
  }

  @Test
  void lessIsKeptTheMoreIsComputedAgain() {
    PlannedRun run = run("llama-3-8b", MicroBatch.of(2, 2048), 1);
    long none = run.plan(Checkpointing.NONE).peak();
    long selective = run.plan(Checkpointing.SELECTIVE).peak();
    long block = run.plan(Checkpointing.BLOCK).peak();
    long partial = run.plan(Checkpointing.PARTIAL).peak();
    List<Long> peaks = List.of(none, selective, partial, block);
    assertEquals(peaks.stream().sorted(Comparator.reverseOrder()).distinct().toList(), peaks);
  }

  /** One buffer that backward fills, and as many sums as 7 = 1 + 2 + 4 has halves. */
  @Test
  void accumulatingSevenMicroBatchesTakesThreeSums() {
    PlannedRun run = run("llama-2-7b", MicroBatch.of(1, 64), 7);
    long flat = DType.FLOAT32.bytes() * run.parameters();
    MemoryPlan plan = run.plan(Checkpointing.NONE);
    assertEquals(4 * flat, plan.bytes(Phase.TRAIN, Component.GRADIENTS));
    assertEquals(2 * flat, plan.bytes(Phase.TRAIN, Component.OPTIMIZER));
  }

  /**
   * On the CPU attention keeps the probabilities of short sequences, and computes long ones anew.
   */
  @Test
  void ofTwoMicroBatchesTheOneThatNeedsMoreIsPlannedWhateverItsTokens() {
    MicroBatch whole = MicroBatch.of(1, 2048);
    MicroBatch halves = MicroBatch.of(2, 1000);
    PlannedRun run = run("llama-3-8b", List.of(whole, halves), 1, Device.Type.CPU);
    assertEquals(halves, run.largest(Checkpointing.NONE));
    assertEquals(whole, run.largest(Checkpointing.BLOCK));
    for (Checkpointing mode : Checkpointing.values()) {
      long most =
          Stream.of(whole, halves)
              .mapToLong(b -> run("llama-3-8b", List.of(b), 1, Device.Type.CPU).plan(mode).peak())
              .max()
              .orElseThrow();
      assertEquals(most, run.plan(mode).peak());
    }
  }

  @Test
  void largeMicroBatchesAreThoseOfNineTenthsOfTheMostTokens() {
    List<Example> rows = new ArrayList<>();
    for (int row = 0; row < 400; row++) {
      int length = 1 + row % 100;
      rows.add(new Example(new int[length], new int[length]));
    }
    EpochPlan plan = new EpochPlan(rows, RowOrder.AS_GIVEN, 1);
    List<MicroBatch> large = DrawnBatches.of(new EpochSampler(plan, 1), 400).large();
    // four times the lengths 90 to 100
    assertEquals(44, large.size());
    assertEquals(100, large.get(0).tokens());
    assertTrue(large.stream().allMatch(batch -> batch.tokens() >= 90));
  }

  @Test
  void lengthsThatChangeTakeMore() {
    List<Example> alike = List.of(new Example(new int[9], new int[9]));
    List<Example> others = new ArrayList<>(alike);
    others.add(new Example(new int[5], new int[5]));
    assertEquals(18, shapes(alike));
    assertEquals(36, shapes(others));
    Host fixed = Host.cpu(GIB_BYTES, 18);
    Host changing = Host.cpu(GIB_BYTES, 36);
    assertEquals(((120 << 10) * 18) + (16 << 20), changing.process() - fixed.process());
    assertTrue(changing.slack() > fixed.slack());
    assertEquals(Host.cpu(GIB_BYTES, 1024), Host.cpu(GIB_BYTES, 5000), "oneDNN keeps 1,024");
  }

  private static int shapes(List<Example> rows) {
    EpochPlan plan = new EpochPlan(rows, RowOrder.AS_GIVEN, 1);
    return DrawnBatches.of(new EpochSampler(plan, 1), 10).shapes();
  }

  @Test
  void theLargestMicroBatchIsOneThatIsDrawn() {
    List<Example> rows = new ArrayList<>();
    for (int length = 1; length <= 10; length++) {
      rows.add(new Example(new int[length], new int[length]));
    }
    MicroBatch largest = DrawnBatches.of(new EpochSampler(rows, 3, 1), 4).largest();
    assertTrue(largest.tokens() <= 8 + 9 + 10 && largest.tokens() >= 55 / 3, "" + largest.tokens());
    assertEquals(largest.tokens() - 3, largest.lossTokens());
    assertEquals(
        10 + 9 + 8, DrawnBatches.of(new EpochSampler(rows, 3, 1), 4_000).largest().tokens());
    assertEquals(7 + 8 + 9, inOrder(rows, 3).tokens());
    assertEquals(55, inOrder(rows, 30).tokens());
  }

  private static MicroBatch inOrder(List<Example> rows, int size) {
    EpochPlan plan = new EpochPlan(rows, RowOrder.AS_GIVEN, 1);
    return DrawnBatches.of(new EpochSampler(plan, size), (rows.size() - 1) / size + 1).largest();
  }

  @Test
  void sizesAreReadAsTheyAreWritten() {
    assertEquals(OptionalLong.of(24L << 30), Sizes.parse("24GiB"));
    assertEquals(OptionalLong.of(24L << 30), Sizes.parse("24g"));
    assertEquals(OptionalLong.of(24_000_000_000L), Sizes.parse("24 GB"));
    assertEquals(OptionalLong.of(1L << 29), Sizes.parse("0.5GiB"));
    assertEquals(OptionalLong.of(4096), Sizes.parse("4096"));
    for (String wrong : List.of("", "GiB", "-1GiB", "24GiBs", "24 apples", "1e9", "0")) {
      assertEquals(OptionalLong.empty(), Sizes.parse(wrong), wrong);
    }
    assertEquals("1.5 GiB", Sizes.text(3L << 29));
    assertEquals("512 MiB", Sizes.text(1L << 29));
    assertEquals("3 KiB", Sizes.text(3000));
  }
}
