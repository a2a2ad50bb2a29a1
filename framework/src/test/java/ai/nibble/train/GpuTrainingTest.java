package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeFalse;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.Shared;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Decoder;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Pass;
import ai.nibble.optim.AdamW8bitConfig;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.OptimizerConfig;
import ai.nibble.optim.PagedConfig;
import ai.nibble.optim.ParameterRange;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Scope;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/** What a GPU computes is what the CPU computes, within bfloat16's rounding. */
@Tag("gpu")
class GpuTrainingTest {
  private static final Path BASE = Shared.root().resolve("models/nibble-5m");
  private static final int VOCABULARY = 2048;
  private static final int STEPS = 6;

  /** Flash attention, in its form for sequences of any lengths. */
  private static final int[] DIFFERENT = {150, 61};

  /** cuDNN's attention. */
  private static final int[] EQUAL = {256, 256};

  private Device gpu;
  private DType dtype = DType.BFLOAT16;
  private long liveBefore;

  @BeforeAll
  static void severalThreadsWillCompute() {
    Torch.expectSeveralThreads();
  }

  @BeforeEach
  void findGpu() {
    liveBefore = Tensor.live();
    gpu = LoadOptions.autoDevice();
    assumeFalse(gpu.isCpu(), "skipped: needs an NVIDIA GPU that libtorch and NVRTC can use");
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private CausalLm load(Placement placement) {
    LoadOptions options = new LoadOptions(LoadOptions.nf4().quantization(), dtype);
    return CausalLm.load(BASE, options.on(placement));
  }

  private CausalLm load(Device device) {
    return load(Placement.on(device));
  }

  /** Rows of these lengths, of which the first tokens carry no loss. */
  private static Batch batch(Random random, int... lengths) {
    List<Example> rows = new ArrayList<>();
    for (int length : lengths) {
      int[] ids = random.ints(length, 3, VOCABULARY).toArray();
      int[] labels = ids.clone();
      Arrays.fill(labels, 0, 20, -100);
      rows.add(new Example(ids, labels));
    }
    return Batch.of(rows);
  }

  private record Run(double[] losses, double[] norms, float[] adapter) {}

  private Run train(Device device, Checkpointing checkpointing, double dropout) {
    return train(device, checkpointing, dropout, DIFFERENT);
  }

  private Run train(Device device, Checkpointing checkpointing, double dropout, int[] lengths) {
    return train(Placement.on(device), checkpointing, dropout, lengths);
  }

  private Run train(
      Placement placement, Checkpointing checkpointing, double dropout, int[] lengths) {
    return train(List.of(placement), checkpointing, dropout, lengths, AdamWConfig.DEFAULT);
  }

  /** Trains by a worker on each of these devices. */
  private Run train(
      List<Placement> places,
      Checkpointing checkpointing,
      double dropout,
      int[] lengths,
      OptimizerConfig optimizer) {
    double[] losses = new double[STEPS];
    double[] norms = new double[STEPS];
    try (Scope scope = new Scope()) {
      LoraAdapter adapter = null;
      List<Replica> replicas = new ArrayList<>();
      for (Placement place : places) {
        CausalLm model = scope.own(load(place));
        LoraConfig config = LoraConfig.DEFAULT.withDropout(dropout);
        LoraAdapter own =
            scope.own(
                adapter == null ? LoraAdapter.inject(model, config, 3) : adapter.copyTo(model));
        adapter = adapter == null ? own : adapter;
        replicas.add(new Replica(model, own, new SupervisedFineTuning()));
      }
      TrainStep step =
          new TrainStep(
              scope.own(Workers.of(replicas)),
              optimizer.over(
                  adapter.parameters(), ParameterRange.decayingMatrices(adapter.parameters(), 0)),
              0.5,
              checkpointing,
              0);
      Random random = new Random(5);
      for (int s = 0; s < STEPS; s++) {
        TrainStep.Outcome outcome =
            step.run(
                List.of(batch(random, lengths), batch(random, lengths), batch(random, lengths)),
                1e-3,
                s);
        assertTrue(outcome.applied());
        losses[s] = outcome.loss();
        norms[s] = outcome.gradNorm();
      }
      return new Run(losses, norms, hostValues(adapter));
    }
  }

  private static float[] hostValues(LoraAdapter adapter) {
    float[] values = new float[Math.toIntExact(adapter.parameters().numel())];
    adapter.parameters().hostValues().get(0, values);
    return values;
  }

  /**
   * The middle layers on a second GPU, or on the CPU where there is one GPU: hidden states and
   * their gradients go there and back, and the parts' squares make one norm.
   */
  @Test
  void trainsOverTwoDevicesAsTheCpuDoes() {
    List<Device> gpus = LoadOptions.gpus();
    Device second = gpus.size() > 1 ? gpus.get(1) : Device.CPU;
    Map<String, Device> modules = new LinkedHashMap<>();
    List.of(CausalLm.EMBEDDING, CausalLm.NORM, CausalLm.HEAD).forEach(m -> modules.put(m, gpu));
    for (int i = 0; i < 6; i++) {
      modules.put(Placement.layer(i), i == 2 || i == 3 ? second : gpu);
    }
    Placement split = new Placement(modules);
    System.out.println("over " + split);
    assertTrainAlike(
        train(Device.CPU, Checkpointing.NONE, 0.1),
        train(split, Checkpointing.NONE, 0.1, DIFFERENT));
    Run kept = train(split, Checkpointing.NONE, 0.1, DIFFERENT);
    Run again = train(split, Checkpointing.BLOCK, 0.1, DIFFERENT);
    assertArrayEquals(kept.adapter, again.adapter, "the same bits");
  }

  /**
   * Three micro-batches a step, clipping, dropout. bfloat16 gives 2⁻⁹ relative at each rounding;
   * losses are means over 450 tokens, so their difference is far below that of one.
   */
  @Test
  void trainsAsTheCpuDoes() {
    assertTrainsAlike(DIFFERENT);
  }

  @Test
  void trainsRowsOfOneLengthAsTheCpuDoes() {
    assertTrainsAlike(EQUAL);
  }

  private void assertTrainsAlike(int[] lengths) {
    assertTrainAlike(
        train(Device.CPU, Checkpointing.NONE, 0.1, lengths),
        train(gpu, Checkpointing.NONE, 0.1, lengths));
  }

  private static void assertTrainAlike(Run cpu, Run here) {
    System.out.println("losses on the CPU " + Arrays.toString(cpu.losses));
    System.out.println("losses on the GPU " + Arrays.toString(here.losses));
    System.out.println("norms on the CPU " + Arrays.toString(cpu.norms));
    System.out.println("norms on the GPU " + Arrays.toString(here.norms));
    assertArrayEquals(cpu.losses, here.losses, 0.01);
    for (int s = 0; s < STEPS; s++) {
      assertEquals(cpu.norms[s], here.norms[s], 0.03 * cpu.norms[s]);
    }
  }

  /**
   * In float32 the two differ by the order of sums alone: 2⁻²⁴ a rounding, some thousands of which
   * meet in a loss of about 8.
   */
  @Test
  void trainsInFloat32AsTheCpuDoes() {
    dtype = DType.FLOAT32;
    Run cpu = train(Device.CPU, Checkpointing.NONE, 0.1);
    Run here = train(gpu, Checkpointing.NONE, 0.1);
    System.out.println("float32 losses on the CPU " + Arrays.toString(cpu.losses));
    System.out.println("float32 losses on the GPU " + Arrays.toString(here.losses));
    System.out.println("float32 norms on the CPU " + Arrays.toString(cpu.norms));
    System.out.println("float32 norms on the GPU " + Arrays.toString(here.norms));
    for (Checkpointing mode :
        List.of(Checkpointing.SELECTIVE, Checkpointing.PARTIAL, Checkpointing.BLOCK)) {
      Run again = train(gpu, mode, 0.1);
      System.out.println("float32 " + mode + " losses " + Arrays.toString(again.losses));
      assertArrayEquals(here.adapter, again.adapter, "float32 " + mode + ": the same bits");
    }
    assertArrayEquals(cpu.losses, here.losses, 1e-3);
    for (int s = 0; s < STEPS; s++) {
      assertEquals(cpu.norms[s], here.norms[s], 2e-3 * cpu.norms[s]);
    }
  }

  @Test
  void decodesInFloat32WhatTheWholeSequenceGives() {
    dtype = DType.FLOAT32;
    decodes(1e-4);
  }

  @Test
  void checkpointingChangesNothing() {
    for (int[] lengths : List.of(DIFFERENT, EQUAL)) {
      assertCheckpointingChangesNothing(lengths);
    }
  }

  private void assertCheckpointingChangesNothing(int[] lengths) {
    Run kept = train(gpu, Checkpointing.NONE, 0.1, lengths);
    for (Checkpointing mode :
        List.of(
            Checkpointing.SELECTIVE,
            Checkpointing.PARTIAL,
            Checkpointing.BLOCK,
            Checkpointing.OFFLOAD)) {
      Run again = train(gpu, mode, 0.1, lengths);
      assertArrayEquals(kept.losses, again.losses, mode + ": losses");
      assertArrayEquals(kept.norms, again.norms, mode + ": norms");
      assertArrayEquals(kept.adapter, again.adapter, mode + ": the same bits");
    }
  }

  @Test
  void momentsInUnifiedMemoryChangeNothing() {
    for (OptimizerConfig optimizer :
        List.of(AdamWConfig.DEFAULT, new AdamW8bitConfig(AdamWConfig.DEFAULT))) {
      Run resident =
          train(List.of(Placement.on(gpu)), Checkpointing.NONE, 0.1, DIFFERENT, optimizer);
      OptimizerConfig paged = new PagedConfig(optimizer);
      Run again = train(List.of(Placement.on(gpu)), Checkpointing.NONE, 0.1, DIFFERENT, paged);
      assertArrayEquals(resident.adapter, again.adapter, optimizer + ": the same bits");
    }
  }

  /** Two threads that compute at the same time, with a model each. */
  @Test
  void twoWorkersOnOneGpuTrainTheBitsOfOne() {
    Run one = train(gpu, Checkpointing.NONE, 0.1);
    List<Placement> twice = List.of(Placement.on(gpu), Placement.on(gpu));
    Run two = train(twice, Checkpointing.NONE, 0.1, DIFFERENT, AdamWConfig.DEFAULT);
    assertArrayEquals(one.losses, two.losses);
    assertArrayEquals(one.adapter, two.adapter);
  }

  @Test
  void twoGpusTrainTheBitsOfOne() {
    assumeTrue(Torch.cudaDeviceCount() > 1, "skipped: needs two GPUs");
    Run one = train(gpu, Checkpointing.NONE, 0.1);
    Device second = new Device(Device.Type.CUDA, 1);
    List<Placement> both = List.of(Placement.on(gpu), Placement.on(second));
    Run two = train(both, Checkpointing.NONE, 0.1, DIFFERENT, AdamWConfig.DEFAULT);
    assertArrayEquals(one.losses, two.losses);
    assertArrayEquals(one.adapter, two.adapter);
  }

  @Test
  void oneRunIsAsTheOther() {
    Run first = train(gpu, Checkpointing.NONE, 0);
    Run second = train(gpu, Checkpointing.NONE, 0);
    assertArrayEquals(first.losses, second.losses);
    assertArrayEquals(first.adapter, second.adapter);
  }

  private static float[] logits(CausalLm model, int[] ids) {
    int[] all = new int[ids.length];
    Arrays.setAll(all, i -> i);
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), all)) {
      return logits.toFloats();
    }
  }

  @Test
  void logitsAreTheCpus() {
    int[] ids = new Random(1).ints(90, 3, VOCABULARY).toArray();
    try (CausalLm cpu = load(Device.CPU);
        CausalLm here = load(gpu)) {
      float[] expected = logits(cpu, ids);
      float[] seen = logits(here, ids);
      double worst = 0;
      double sum = 0;
      double largest = 0;
      for (int i = 0; i < expected.length; i++) {
        double difference = Math.abs(expected[i] - seen[i]);
        worst = Math.max(worst, difference);
        sum += difference;
        largest = Math.max(largest, Math.abs(expected[i]));
      }
      System.out.printf(
          "logits up to %.2f: mean difference %.5f, worst %.4f%n",
          largest, sum / expected.length, worst);
      assertTrue(worst < 0.03 * largest, "worst " + worst + " of " + largest);
    }
  }

  /** Token after token with a cache, from weights read in 4 bits, is the whole sequence. */
  @Test
  void decodesWhatTheWholeSequenceGives() {
    decodes(0.03);
  }

  private void decodes(double tolerance) {
    int[] ids = new Random(2).ints(70, 3, VOCABULARY).toArray();
    int prompt = 40;
    try (CausalLm model = load(gpu);
        LoraAdapter adapter = LoraAdapter.inject(model, LoraConfig.DEFAULT, 1)) {
      float[] noise = new float[Math.toIntExact(adapter.parameters().numel())];
      Random random = new Random(4);
      for (int i = 0; i < noise.length; i++) {
        noise[i] = (float) (0.02 * random.nextGaussian());
      }
      adapter.parameters().setValues(java.nio.FloatBuffer.wrap(noise));
      float[] whole = logits(model, ids);
      try (Decoder decoder = new Decoder(model, Long.MAX_VALUE);
          KvCache cache = decoder.cache(ids.length)) {
        int at = 0;
        double worst = 0;
        double largest = 0;
        for (int next = prompt; next <= ids.length; next++) {
          try (Tensor step =
              decoder.next(List.of(Arrays.copyOfRange(ids, at, next)), List.of(cache))) {
            float[] seen = step.toFloats();
            for (int v = 0; v < VOCABULARY; v++) {
              float expected = whole[(next - 1) * VOCABULARY + v];
              worst = Math.max(worst, Math.abs(expected - seen[v]));
              largest = Math.max(largest, Math.abs(expected));
            }
          }
          at = next;
        }
        System.out.printf(
            "decoding in %s: logits up to %.2f, worst difference %.6f%n", dtype, largest, worst);
        assertTrue(worst < tolerance * largest, "worst " + worst + " of " + largest);
      }
    }
  }
}
