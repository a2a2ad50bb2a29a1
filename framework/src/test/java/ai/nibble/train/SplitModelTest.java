package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.JoinedFloats;
import ai.nibble.autograd.Tape;
import ai.nibble.autograd.TapeLength;
import ai.nibble.autograd.Variable;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.model.AllWeights;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Decoder;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Placement;
import ai.nibble.model.Splits;
import ai.nibble.model.TinyModel;
import ai.nibble.model.Trainable;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Pass;
import ai.nibble.optim.AdamW8bitConfig;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Optimizer;
import ai.nibble.optim.OptimizerConfig;
import ai.nibble.optim.OptimizerState;
import ai.nibble.optim.ParameterRange;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.HostKernels;
import ai.nibble.tensor.KernelLaunchers;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A model over several devices gives the bits of the same on one: logits, losses, gradients, what
 * is trained and what is generated. Pretended devices refuse operands of one another, as GPUs do.
 */
class SplitModelTest {
  private static final int STEPS = 3;
  private static final int[] STARTS = {0, 13, 22};

  @TempDir Path folder;
  private long liveBefore;

  static List<String> modelTypes() {
    return TinyModel.MODEL_TYPES;
  }

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private void write(String modelType) {
    TinyModel tiny = TinyModel.of(modelType, 21).scaled(0.5f);
    tiny.writeTo(folder);
  }

  private CausalLm load(Placement placement, DType compute) {
    return CausalLm.load(folder, LoadOptions.unquantized(compute).on(placement));
  }

  private static int[] ids(int seed) {
    return new Random(seed).ints(STARTS[STARTS.length - 1], 0, 11).toArray();
  }

  private static float[] logits(CausalLm model) {
    int[] positions = new int[STARTS[STARTS.length - 1]];
    Arrays.setAll(positions, i -> i);
    try (Tensor logits = model.logits(ids(3), Pass.evaluating(STARTS), positions)) {
      assertEquals(model.placement().of(CausalLm.HEAD), logits.device());
      return logits.toFloats();
    }
  }

  @ParameterizedTest
  @MethodSource("modelTypes")
  void logitsAreThoseOfOneDevice(String modelType) {
    write(modelType);
    for (DType compute : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      float[] expected;
      try (CausalLm whole = load(Placement.on(Device.CPU), compute)) {
        expected = logits(whole);
      }
      for (Placement split : Splits.all()) {
        try (CausalLm model = load(split, compute)) {
          assertArrayEquals(expected, logits(model), split.toString());
        }
      }
    }
  }

  /** Everything that a run of steps leaves. */
  private record Run(
      double[] losses, double[] norms, Map<String, float[]> grads, OptimizerState state) {
    void assertSame(Run other, String where) {
      assertArrayEquals(losses, other.losses, where);
      // squares are added up by device: the last bits of a double may differ
      assertArrayEquals(norms, other.norms, 1e-14 * norms[0], where);
      assertEquals(grads.keySet(), other.grads.keySet());
      grads.forEach((name, grad) -> assertArrayEquals(grad, other.grads.get(name), name + where));
      assertEquals(state.step(), other.state.step());
      assertBuffers(state.buffers(), other.state.buffers(), where);
      assertBuffers(state.vectors(), other.state.vectors(), where);
    }

    private static void assertBuffers(
        Map<String, FloatBuffer> expected, Map<String, FloatBuffer> seen, String where) {
      assertEquals(expected.keySet(), seen.keySet());
      expected.forEach((name, values) -> assertEquals(values, seen.get(name), name + where));
    }
  }

  private static Optimizer optimizer(OptimizerConfig config, Trainable trained) {
    return config.over(
        trained.parameters(),
        ParameterRange.decayingMatrices(
            trained.parameters(), 0.01, name -> name.contains("lora_B") ? 4 : 1));
  }

  /**
   * Trains.
   *
   * @param maxNorm low enough to clip every step
   */
  private static Run train(
      CausalLm model, Trainable trained, OptimizerConfig config, Checkpointing checkpointing) {
    Optimizer optimizer = optimizer(config, trained);
    double maxNorm = 0.05;
    TrainStep step =
        new TrainStep(
            model, trained, new SupervisedFineTuning(), optimizer, maxNorm, checkpointing);
    double[] losses = new double[STEPS];
    double[] norms = new double[STEPS];
    Map<String, float[]> grads = new LinkedHashMap<>();
    Random random = new Random(5);
    for (int s = 0; s < STEPS; s++) {
      List<Batch> micro = List.of(batch(random), batch(random), batch(random));
      TrainStep.Outcome outcome = step.run(micro, 1e-2, s);
      assertTrue(outcome.applied());
      assertTrue(outcome.gradNorm() > maxNorm, "norm " + outcome.gradNorm());
      losses[s] = outcome.loss();
      norms[s] = outcome.gradNorm();
      for (Parameter p : trained.parameters().parameters()) {
        grads.put(s + "/" + p.name(), p.grad().toFloats());
      }
    }
    return new Run(losses, norms, grads, optimizer.state());
  }

  private static Batch batch(Random random) {
    int[] first = random.ints(13, 0, 11).toArray();
    int[] second = random.ints(9, 0, 11).toArray();
    return Batch.of(List.of(new Example(first, first), new Example(second, second)));
  }

  private record Trained(Run run, FloatBuffer values) {
    void assertSame(Trained other, String where) {
      run.assertSame(other.run, where);
      assertEquals(values, other.values, where);
    }
  }

  private static FloatBuffer copy(FloatBuffer values) {
    return FloatBuffer.allocate(values.limit()).put(0, values, 0, values.limit());
  }

  /** Adapters with dropout on all linears, embedding and head beside them. */
  private static LoraConfig wholeTables() {
    return LoraConfig.DEFAULT
        .withRank(3, 6)
        .withDropout(0.2)
        .withExtras(
            LoraConfig.DEFAULT
                .extras()
                .withModulesToSave(List.of(CausalLm.HEAD, CausalLm.EMBEDDING)));
  }

  private Trained adapter(Placement placement, DType compute, Checkpointing checkpointing) {
    LoraConfig config = wholeTables();
    try (CausalLm model = load(placement, compute);
        LoraAdapter adapter = LoraAdapter.inject(model, config, 4)) {
      for (Parameter p : adapter.parameters().parameters()) {
        String module = p.name().replaceFirst("^base_model\\.model\\.", "");
        assertEquals(placement.of(module), p.value().device(), p.name());
        assertEquals(placement.of(module), p.grad().device(), p.name());
      }
      Run run = train(model, adapter, AdamWConfig.DEFAULT, checkpointing);
      return new Trained(run, copy(adapter.parameters().hostValues()));
    }
  }

  private Trained allWeights(Placement placement, OptimizerConfig config, Checkpointing mode) {
    LoadOptions options = LoadOptions.trained(DType.FLOAT32).on(placement);
    try (CausalLm model = CausalLm.load(folder, options)) {
      Trainable all = new AllWeights(model);
      Run run = train(model, all, config, mode);
      return new Trained(run, copy(all.parameters().hostValues()));
    }
  }

  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void adaptersAndTheirGradientsAreThoseOfOneDevice(Checkpointing checkpointing) {
    write("llama");
    for (DType compute : List.of(DType.FLOAT32, DType.BFLOAT16)) {
      Trained expected = adapter(Placement.on(Device.CPU), compute, checkpointing);
      for (Placement split : Splits.all()) {
        expected.assertSame(adapter(split, compute, checkpointing), " on " + split);
      }
    }
  }

  /** Of 4-bit bases: beginnings that are computed from weights, and magnitudes of their rows. */
  @ParameterizedTest
  @ValueSource(strings = {"pissa", "loftq", "dora"})
  void variantsOfAdaptersAreThoseOfOneDevice(String variant) {
    write("llama");
    Trained expected = variant(variant, Placement.on(Device.CPU));
    for (Placement split : Splits.all()) {
      expected.assertSame(variant(variant, split), " on " + split);
    }
  }

  private Trained variant(String variant, Placement placement) {
    LoraConfig plain = LoraConfig.DEFAULT.withRank(3, 6).withDropout(0);
    LoraConfig config =
        variant.equals("dora")
            ? plain.withExtras(plain.extras().withDora(true))
            : plain.withInit(InitLoraWeights.of(variant).orElseThrow());
    Optional<QuantConfig> nf4 = Optional.of(new Quant4Config(Quant4Type.NF4, 32, true));
    LoadOptions options = new LoadOptions(nf4, DType.FLOAT32).on(placement);
    try (WeightSource source = WeightSource.open(folder);
        CausalLm model = CausalLm.load(folder, options);
        LoraAdapter adapter = LoraAdapter.inject(model, config, 4, source)) {
      Run run = train(model, adapter, AdamWConfig.DEFAULT, Checkpointing.SELECTIVE);
      return new Trained(run, copy(adapter.parameters().hostValues()));
    }
  }

  @ParameterizedTest
  @MethodSource("modelTypes")
  void allWeightsOfEveryArchitectureAreThoseOfOneDevice(String modelType) {
    write(modelType);
    OptimizerConfig config = AdamWConfig.DEFAULT;
    for (Checkpointing mode : List.of(Checkpointing.NONE, Checkpointing.SELECTIVE)) {
      Trained expected = allWeights(Placement.on(Device.CPU), config, mode);
      expected.assertSame(allWeights(Splits.overThree(), config, mode), " over three");
    }
  }

  @Test
  void momentsIn8BitsAreThoseOfOneDevice() {
    TinyModel tiny = TinyModel.of("llama", 21);
    tiny.fields.put("vocab_size", "400");
    tiny.add("model.embed_tokens.weight", 400, 12);
    tiny.add("lm_head.weight", 400, 12);
    tiny.scaled(0.5f);
    tiny.writeTo(folder);
    OptimizerConfig config = new AdamW8bitConfig(AdamWConfig.DEFAULT);
    Trained expected = allWeights(Placement.on(Device.CPU), config, Checkpointing.BLOCK);
    assertEquals(4, expected.run.state.vectors().size(), "two moments of two tables");
    for (Placement split : Splits.all()) {
      expected.assertSame(allWeights(split, config, Checkpointing.BLOCK), " on " + split);
    }
  }

  @Test
  void anotherPlacementGoesOnFromWhatOneSaved() {
    write("llama");
    OptimizerConfig config = AdamWConfig.DEFAULT;
    LoadOptions options = LoadOptions.trained(DType.FLOAT32);
    List<FloatBuffer> results = new ArrayList<>();
    for (Placement second : List.of(Placement.on(Device.CPU), Splits.overThree())) {
      FloatBuffer values;
      OptimizerState state;
      try (CausalLm model = CausalLm.load(folder, options.on(Splits.overTwo()))) {
        Trainable all = new AllWeights(model);
        Optimizer optimizer = optimizer(config, all);
        step(model, all, optimizer, 1);
        state = optimizer.state();
        values = copy(all.parameters().hostValues());
      }
      try (CausalLm model = CausalLm.load(folder, options.on(second))) {
        Trainable all = new AllWeights(model);
        Optimizer optimizer = optimizer(config, all);
        optimizer.restore(state);
        all.parameters().setValues(values);
        step(model, all, optimizer, 2);
        results.add(copy(all.parameters().hostValues()));
      }
    }
    assertEquals(results.get(0), results.get(1));
  }

  private static void step(CausalLm model, Trainable trained, Optimizer optimizer, int seed) {
    TrainStep step =
        new TrainStep(model, trained, new SupervisedFineTuning(), optimizer, 1, Checkpointing.NONE);
    step.run(List.of(batch(new Random(seed))), 1e-2, seed);
  }

  /** A step with a gradient that is not finite on one device changes nothing on any. */
  @Test
  void aGradientThatIsNotFiniteStopsTheStepEverywhere() {
    write("llama");
    LoadOptions options = LoadOptions.trained(DType.FLOAT32).on(Splits.overTwo());
    try (CausalLm model = CausalLm.load(folder, options)) {
      Trainable all = new AllWeights(model);
      Optimizer optimizer = optimizer(AdamWConfig.DEFAULT, all);
      var gradients = optimizer.over(all.parameters());
      FloatBuffer before = copy(all.parameters().hostValues());
      all.parameters().zeroGrads();
      Tensor last = all.parameters().get("lm_head.weight").grad();
      last.floats().put(2, Float.POSITIVE_INFINITY);
      gradients.begin();
      gradients.addMicroBatch();
      assertEquals(Double.POSITIVE_INFINITY, gradients.apply(1e-2, 1));
      assertEquals(before, all.parameters().hostValues());
      assertEquals(0, optimizer.state().step());
    }
  }

  /** The kernels of devices, compiled for the host, take no operand of another device. */
  @ParameterizedTest
  @EnumSource(Checkpointing.class)
  void soItIsByKernels(Checkpointing checkpointing) {
    write("qwen3");
    KernelLaunchers.Installation kernels = HostKernels.install();
    try (kernels) {
      Trained expected = adapter(Placement.on(Device.CPU), DType.FLOAT32, checkpointing);
      Trained all = allWeights(Placement.on(Device.CPU), AdamWConfig.DEFAULT, checkpointing);
      for (Placement split : Splits.all()) {
        expected.assertSame(adapter(split, DType.FLOAT32, checkpointing), " on " + split);
        all.assertSame(allWeights(split, AdamWConfig.DEFAULT, checkpointing), " on " + split);
      }
    }
  }

  @Test
  void aHiddenStateCrossesEachBoundaryOnce() {
    write("llama");
    int whole = functions(Placement.on(Device.CPU));
    assertEquals(whole + 1, functions(Splits.overTwo()));
    assertEquals(whole + 4, functions(Splits.overThree()));
    assertEquals(whole + 1, functions(Splits.cpuFirst()));
  }

  private int functions(Placement placement) {
    Pass pass = Pass.evaluating(STARTS);
    try (CausalLm model = load(placement, DType.FLOAT32);
        Tape tape = Tape.recording();
        Variable hidden = model.hidden(tape, ids(3), pass, Checkpointing.BLOCK)) {
      CausalLm.Loss loss = model.loss(tape, hidden, pass, new int[] {4, 9}, new int[] {1, 2}, 2);
      return TapeLength.before(loss.value());
    }
  }

  /** The head that an adapter trains whole is the one that answers are measured by. */
  @Test
  void logProbabilitiesAreByTheHeadInPlace() {
    write("llama");
    for (Placement placement : List.of(Placement.on(Device.CPU), Splits.overThree())) {
      try (CausalLm model = load(placement, DType.FLOAT32);
          LoraAdapter adapter = LoraAdapter.inject(model, wholeTables(), 4);
          Tape tape = Tape.inference()) {
        String head = "base_model.model.lm_head.weight";
        Tensor table = adapter.parameters().get(head).value();
        float[] other = table.toFloats();
        for (int i = 0; i < other.length; i++) {
          other[i] *= i % 3;
        }
        table.setFloats(FloatBuffer.wrap(other));
        int[] targets = {1, 2};
        int[] positions = {4, 9};
        Pass pass = Pass.evaluating(STARTS);
        double[] expected = model.logLikelihoods(ids(3), pass, positions, targets);
        Variable hidden = model.hidden(tape, ids(3), pass, Checkpointing.NONE);
        float[] seen = model.logProbs(tape, hidden, pass, positions, targets).value().toFloats();
        for (int i = 0; i < seen.length; i++) {
          assertEquals(expected[i], seen[i], 1e-5);
        }
      }
    }
  }

  /** Logits of a batch of prompts and of tokens after them. */
  private float[] generated(Placement placement, Optional<QuantConfig> quantization, long kept) {
    LoadOptions options = new LoadOptions(quantization, DType.FLOAT32).on(placement);
    List<KvCache> caches = new ArrayList<>();
    List<float[]> seen = new ArrayList<>();
    try (CausalLm model = CausalLm.load(folder, options);
        LoraAdapter adapter = LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(3, 6), 4);
        Decoder decoder = new Decoder(model, kept)) {
      assertTrue(adapter.parameters().numel() > 0);
      int[] ids = ids(8);
      caches.addAll(List.of(decoder.cache(20), decoder.cache(20)));
      List<int[]> due = List.of(Arrays.copyOf(ids, 7), Arrays.copyOf(ids, 2));
      for (int step = 0; step < 4; step++) {
        try (Tensor logits = decoder.next(due, caches)) {
          seen.add(logits.toFloats());
        }
        due = List.of(new int[] {ids[step]}, new int[] {ids[step + 5]});
      }
    } finally {
      caches.forEach(KvCache::close);
    }
    return JoinedFloats.of(seen);
  }

  @ParameterizedTest
  @MethodSource("modelTypes")
  void generationIsThatOfOneDevice(String modelType) {
    write(modelType);
    Optional<QuantConfig> nf4 = Optional.of(new Quant4Config(Quant4Type.NF4, 32, true));
    for (Optional<QuantConfig> quantization : List.of(Optional.<QuantConfig>empty(), nf4)) {
      for (long kept : new long[] {0, Long.MAX_VALUE}) {
        float[] expected = generated(Placement.on(Device.CPU), quantization, kept);
        for (Placement split : Splits.all()) {
          float[] seen = generated(split, quantization, kept);
          assertArrayEquals(expected, seen, quantization + " on " + split);
        }
      }
    }
  }
}
