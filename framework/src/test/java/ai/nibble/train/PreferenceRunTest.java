package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.autograd.Tape;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetModules;
import ai.nibble.lora.TrainableTokens;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Pass;
import ai.nibble.optim.AdamW;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.tensor.Torch;
import ai.nibble.train.log.EvalMetrics;
import ai.nibble.train.log.StepMetrics;
import ai.nibble.train.log.TrainListener;
import ai.nibble.train.objective.ChosenEntropy;
import ai.nibble.train.objective.DirectLoss;
import ai.nibble.train.objective.DirectPreference;
import ai.nibble.train.objective.FDivergence;
import ai.nibble.train.objective.KahnemanTversky;
import ai.nibble.train.objective.Objective;
import ai.nibble.train.objective.OddsRatioPreference;
import ai.nibble.train.objective.Reference;
import ai.nibble.train.objective.ReferenceRows;
import ai.nibble.train.objective.SimplePreference;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Random;
import java.util.function.Function;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Runs that learn from preferences, on a model of two layers in four bits. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PreferenceRunTest {
  /** Of several losses, with another divergence. */
  private static final DirectPreference.Terms SUM =
      new DirectPreference.Terms(
          List.of(
              new DirectPreference.Weighted(DirectLoss.EXO_PAIR, 0.7),
              new DirectPreference.Weighted(DirectLoss.SIGMOID_NORM, 1.5),
              new DirectPreference.Weighted(DirectLoss.DISCOPOP, 0.4)),
          new DirectLoss.Constants(0.5, 0.1),
          FDivergence.JS_DIVERGENCE,
          FDivergence.ALPHA);

  private final int threadsBefore = Torch.threads();
  private Path base;
  private CausalLm model;

  @TempDir private Path temp;

  @BeforeAll
  void load(@TempDir Path shared) throws IOException {
    Torch.setThreads(1);
    base = TinyChat.write(shared.resolve("base"));
    model = open(DType.BFLOAT16);
  }

  @AfterAll
  void close() {
    model.close();
    Torch.setThreads(threadsBefore);
  }

  private CausalLm open(DType compute) {
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    return CausalLm.load(base, new LoadOptions(Optional.of(nf4), compute));
  }

  private static LoraAdapter inject(CausalLm on, double dropout) {
    return LoraAdapter.inject(on, LoraConfig.DEFAULT.withRank(4, 8).withDropout(dropout), 5);
  }

  private static Objective dpo(Reference reference) {
    return new DirectPreference(DirectLoss.SIGMOID, 0.5, 0, reference, ChosenEntropy.NONE);
  }

  /** Answers of tokens below 30 are better than those of tokens from 30 on. */
  static List<Example> pairs(int count) {
    Random random = new Random(3);
    List<Example> pairs = new ArrayList<>();
    for (int r = 0; r < count; r++) {
      int[] prompt = random.ints(2 + r % 3, 1, 60).toArray();
      Example chosen = answer(prompt, random.ints(2 + r % 4, 1, 30).toArray());
      pairs.add(Example.pair(chosen, answer(prompt, random.ints(3, 30, 60).toArray())));
    }
    return pairs;
  }

  private static List<Example> judged(int count) {
    List<Example> rows = new ArrayList<>();
    for (Example pair : pairs(count)) {
      boolean good = rows.size() % 2 == 0;
      rows.add(Example.judged(pair.sequences().get(good ? 0 : 1), good));
    }
    return rows;
  }

  private static Example answer(int[] prompt, int[] answer) {
    int[] ids = Arrays.copyOf(prompt, prompt.length + answer.length);
    System.arraycopy(answer, 0, ids, prompt.length, answer.length);
    int[] labels = ids.clone();
    Arrays.fill(labels, 0, prompt.length, Example.IGNORED);
    return new Example(ids, labels);
  }

  private static TrainSettings settings(int steps, int saveSteps, Checkpointing checkpointing) {
    return new TrainSettings(
        3,
        2,
        steps,
        2e-2,
        new Schedule.Linear(0, steps),
        AdamWConfig.DEFAULT,
        1,
        checkpointing,
        4,
        2,
        saveSteps,
        0,
        7);
  }

  /** What a run says and leaves. */
  private static final class Log implements TrainListener {
    private final List<StepMetrics> steps = new ArrayList<>();
    private final List<EvalMetrics> evaluations = new ArrayList<>();
    private float[] values;

    @Override
    public void stepEnded(StepMetrics metrics) {
      steps.add(metrics);
    }

    @Override
    public void evaluated(EvalMetrics metrics) {
      evaluations.add(metrics);
    }
  }

  private Log run(
      String name,
      double dropout,
      Function<LoraAdapter, Objective> objective,
      List<Example> rows,
      TrainSettings settings,
      Optional<Path> from) {
    Log log = new Log();
    try (LoraAdapter adapter = inject(model, dropout)) {
      Trainer trainer =
          new Trainer(model, adapter, objective.apply(adapter), settings, rows, rows, List.of(log));
      from.map(SavedCheckpoint::open).ifPresent(trainer::resume);
      trainer.run(new RunPlace(temp.resolve(name), "base", "", Map.of("seed", "7")));
      log.values = adapter.parameters().values().toFloats();
    }
    return log;
  }

  /** Of a head trained whole, of adapters on both tables, of rows of tokens. */
  @Test
  void embeddingAndHeadLearnFromPreferences() {
    LoraConfig plain = LoraConfig.DEFAULT.withRank(4, 8).withDropout(0.1);
    List<LoraConfig> configs =
        List.of(
            plain.withExtras(AdapterExtras.NONE.withModulesToSave(List.of("lm_head"))),
            plain.withTargets(new TargetModules.Names(List.of("embed_tokens", "lm_head"))),
            plain.withExtras(
                AdapterExtras.NONE.withTrainableTokens(
                    TrainableTokens.ofEmbedding(List.of(5, 9, 40)))));
    for (LoraConfig config : configs) {
      try (CausalLm fresh = open(DType.FLOAT32);
          LoraAdapter adapter = LoraAdapter.inject(fresh, config, 1)) {
        Objective dpo = dpo(Reference.adapterOff(adapter));
        AdamW adamW = new AdamW(AdamWConfig.DEFAULT, (int) adapter.parameters().numel());
        TrainStep step = new TrainStep(fresh, adapter, dpo, adamW, 1, Checkpointing.NONE);
        for (int s = 0; s < 3; s++) {
          double loss = step.run(List.of(Batch.of(pairs(7))), 2e-2, s).loss();
          assertEquals(s == 0, Math.abs(loss - Math.log(2)) < 1e-15, config + " step " + s);
        }
        for (Parameter p : adapter.parameters().parameters()) {
          boolean table = !p.name().contains("layers");
          float[] grad = p.grad().toFloats();
          boolean any = false;
          for (float g : grad) {
            any |= g != 0;
          }
          assertTrue(any || !table, p.name());
        }
      }
    }
  }

  /** Dropout is on, results are rounded, and yet the two models agree to the last bit. */
  @ParameterizedTest
  @EnumSource(names = {"FLOAT32", "BFLOAT16", "FLOAT16"})
  void beforeAnythingIsLearnedTheLossOfDpoIsTheLogarithmOfTwoExactly(DType compute) {
    try (CausalLm fresh = open(compute);
        LoraAdapter adapter = inject(fresh, 0.1)) {
      Objective dpo = dpo(Reference.adapterOff(adapter));
      AdamW adamW = new AdamW(AdamWConfig.DEFAULT, (int) adapter.parameters().numel());
      TrainStep step = new TrainStep(fresh, adapter, dpo, adamW, 1, Checkpointing.NONE);
      TrainStep.Outcome first;
      do { // in float16 until the scale of gradients is one that it can hold
        first = step.run(List.of(Batch.of(pairs(7))), 2e-2, 0);
        assertEquals(Math.log(2), first.loss(), 1e-15);
        assertEquals(0, first.measures().get("rewards/margins"));
        assertTrue(first.measures().get("logps/chosen") < 0);
      } while (first.overflow());
      assertTrue(first.applied() && first.gradNorm() > 0, first.toString());
      assertNotEquals(Math.log(2), step.run(List.of(Batch.of(pairs(7))), 2e-2, 1).loss(), 1e-3);
    }
  }

  /** float32; a second base computes narrower products, so sums are rounded in another order. */
  @Test
  void theAdapterOffIsAsGoodAsASecondModel() {
    try (CausalLm trained = open(DType.FLOAT32);
        CausalLm second = open(DType.FLOAT32)) {
      double[] off;
      try (LoraAdapter adapter = inject(trained, 0)) {
        off = losses(trained, adapter, dpo(Reference.adapterOff(adapter)));
      }
      try (LoraAdapter adapter = inject(trained, 0)) {
        double[] beside = losses(trained, adapter, dpo(Reference.of(second)));
        assertArrayEquals(beside, off, 2e-5);
        assertTrue(off[off.length - 1] < 0.9 * off[0], Arrays.toString(off));
      }
    }
  }

  /** What an adapter may be more than A and B. */
  static List<LoraConfig> kinds() {
    LoraConfig plain = LoraConfig.DEFAULT.withRank(4, 8).withDropout(0);
    AdapterExtras none = AdapterExtras.NONE;
    return List.of(
        plain,
        plain.withTargets(new TargetModules.Names(List.of("embed_tokens", "q_proj", "lm_head"))),
        plain.withExtras(none.withDora(true)),
        plain.withExtras(none.withModulesToSave(List.of("embed_tokens", "lm_head"))),
        plain.withExtras(none.withTrainableTokens(TrainableTokens.ofEmbedding(List.of(5, 9, 40)))),
        plain.withInit(InitLoraWeights.PISSA));
  }

  /** Of an adapter that has learned something before, of any kind and in every dtype. */
  @ParameterizedTest
  @MethodSource("kinds")
  void againstTheAdapterAsItBeginsTheFirstLossIsTheLogarithmOfTwoExactly(LoraConfig config) {
    for (DType compute : List.of(DType.FLOAT32, DType.BFLOAT16, DType.FLOAT16)) {
      try (CausalLm fresh = open(compute);
          LoraAdapter adapter = LoraAdapter.inject(fresh, config, 5)) {
        perturb(adapter);
        float[] before = adapter.parameters().values().toFloats();
        Reference start = Reference.asItWas(adapter.frozen());
        double[] first = start.logProbs(fresh, Batch.of(pairs(7)));
        AdamW adamW = new AdamW(AdamWConfig.DEFAULT, (int) adapter.parameters().numel());
        TrainStep step = new TrainStep(fresh, adapter, dpo(start), adamW, 1, Checkpointing.NONE);
        TrainStep.Outcome outcome;
        do { // in float16 until the scale of gradients is one that it can hold
          outcome = step.run(List.of(Batch.of(pairs(7))), 2e-2, 0);
          assertEquals(Math.log(2), outcome.loss(), 1e-15, compute + ", " + config);
        } while (outcome.overflow());
        double second = step.run(List.of(Batch.of(pairs(7))), 2e-2, 1).loss();
        assertNotEquals(Math.log(2), second, 1e-3);
        assertFalse(Arrays.equals(before, adapter.parameters().values().toFloats()));
        // it has stayed what it was, and the base's is another
        assertArrayEquals(first, start.logProbs(fresh, Batch.of(pairs(7))));
        double[] off = Reference.adapterOff(adapter).logProbs(fresh, Batch.of(pairs(7)));
        assertNotEquals(first[0], off[0], 1e-3);
      }
    }
  }

  /** A second model with that adapter on it, of the same products: to the last bit. */
  @ParameterizedTest
  @MethodSource("kinds")
  void theAdapterAsItBeginsIsASecondModel(LoraConfig config) {
    long live = Tensor.live();
    try (CausalLm trained = open(DType.BFLOAT16);
        CausalLm second = open(DType.BFLOAT16);
        LoraAdapter adapter = LoraAdapter.inject(trained, config, 5)) {
      perturb(adapter);
      try (LoraAdapter copy = adapter.copyTo(second);
          LoraAdapter again = LoraAdapter.inject(trained, config, 5)) {
        again.parameters().values().copyFrom(adapter.parameters().values());
        adapter.attach();
        double[] frozen = losses(trained, adapter, dpo(Reference.asItWas(adapter.frozen())));
        adapter.detach();
        again.attach();
        double[] beside = losses(trained, again, dpo(Reference.of(second)));
        assertArrayEquals(beside, frozen);
        assertArrayEquals(
            again.parameters().values().toFloats(), adapter.parameters().values().toFloats());
        assertTrue(frozen[frozen.length - 1] < 0.9 * frozen[0], Arrays.toString(frozen));
        assertEquals(copy.modules(), adapter.modules());
      }
    }
    assertEquals(live, Tensor.live());
  }

  private static double[] losses(CausalLm on, LoraAdapter adapter, Objective objective) {
    TrainStep step =
        new TrainStep(
            on,
            adapter,
            objective,
            new AdamW(AdamWConfig.DEFAULT, (int) adapter.parameters().numel()),
            1,
            Checkpointing.NONE);
    double[] losses = new double[6];
    List<Batch> batches =
        List.of(Batch.of(pairs(7).subList(0, 4)), Batch.of(pairs(7).subList(4, 7)));
    for (int s = 0; s < losses.length; s++) {
      losses[s] = step.run(batches, 2e-2, s).loss();
    }
    return losses;
  }

  @ParameterizedTest
  @EnumSource(names = {"SELECTIVE", "PARTIAL", "BLOCK"})
  void everyWayOfCheckpointingTrainsTheSameBits(Checkpointing checkpointing) {
    Function<LoraAdapter, Objective> dpo = adapter -> dpo(Reference.adapterOff(adapter));
    Log none = run("n", 0.1, dpo, pairs(7), settings(3, 0, Checkpointing.NONE), Optional.empty());
    Log other =
        run(
            "c" + checkpointing,
            0.1,
            dpo,
            pairs(7),
            settings(3, 0, checkpointing),
            Optional.empty());
    assertArrayEquals(none.values, other.values);
  }

  @ParameterizedTest
  @ValueSource(strings = {"dpo", "precomputed", "kto", "apo", "orpo", "simpo"})
  void theBetterAnswersGetTheLargerRewardsAndAResumedRunTheSameBits(String method) {
    boolean judged = method.equals("kto") || method.equals("apo");
    List<Example> rows = judged ? judged(8) : pairs(7);
    if (method.equals("precomputed")) {
      rows = new ReferenceRows(model, Reference.of(model), rows, () -> {});
    }
    Function<LoraAdapter, Objective> objective =
        adapter ->
            switch (method) {
              case "dpo" -> dpo(Reference.adapterOff(adapter));
              case "precomputed" -> dpo(Reference.ofRows());
              case "kto" ->
                  new KahnemanTversky(0.5, 1, 1, OptionalInt.of(16), Reference.adapterOff(adapter));
              case "apo" ->
                  new KahnemanTversky(
                      0.5, 1, 1, OptionalInt.empty(), Reference.adapterOff(adapter));
              case "orpo" -> new OddsRatioPreference(0.5, false);
              default -> new SimplePreference(2, 0.5, 0, ChosenEntropy.NONE);
            };
    TrainSettings settings = settings(8, 4, Checkpointing.NONE);
    Log whole = run(method, 0.1, objective, rows, settings, Optional.empty());
    double first = whole.evaluations.get(0).measures().get("rewards/margins");
    double last = whole.evaluations.get(1).measures().get("rewards/margins");
    assertTrue(last > first, first + " to " + last);
    assertTrue(whole.steps.get(7).loss() < whole.steps.get(0).loss());
    assertTrue(whole.evaluations.get(1).evalLoss() < whole.evaluations.get(0).evalLoss());

    Path checkpoint = temp.resolve(method).resolve("checkpoint-4");
    Log resumed = run(method + "-again", 0.1, objective, rows, settings, Optional.of(checkpoint));
    assertEquals(4, resumed.steps.size());
    assertArrayEquals(whole.values, resumed.values);
    assertEquals(whole.steps.get(7).measures(), resumed.steps.get(3).measures());
  }

  /** The mean is over the pairs of the step, however they are parted. */
  @Test
  void accumulatingChangesNothingButTheRounding() {
    try (CausalLm exact = open(DType.FLOAT32);
        LoraAdapter adapter = inject(exact, 0)) {
      List<Example> rows = pairs(6);
      Objective objective = dpo(Reference.adapterOff(adapter));
      perturb(adapter);
      float[] together = gradients(exact, adapter, objective, List.of(Batch.of(rows)));
      float[] parted =
          gradients(
              exact,
              adapter,
              objective,
              List.of(Batch.of(rows.subList(0, 1)), Batch.of(rows.subList(1, 6))));
      assertArrayEquals(together, parted, 1e-5f);
    }
  }

  /** Every way to lose, by central differences along a random direction of the adapter's values. */
  @ParameterizedTest
  @ValueSource(strings = {"sigmoid", "robust", "ipo", "hinge", "rpo", "mpo", "orpo", "simpo"})
  void gradientsAreThoseOfFiniteDifferences(String loss) {
    try (CausalLm exact = open(DType.FLOAT32);
        LoraAdapter adapter = inject(exact, 0)) {
      perturb(adapter);
      Reference off = Reference.adapterOff(adapter);
      Objective objective =
          switch (loss) {
            case "orpo" -> new OddsRatioPreference(0.7, true);
            case "simpo" -> new SimplePreference(2, 0.5, 0.1, new ChosenEntropy(0.3, false));
            case "mpo" -> new DirectPreference(SUM, off, new ChosenEntropy(0.2, false));
            case "rpo" ->
                new DirectPreference(
                    DirectLoss.SIGMOID, 0.5, 0.1, off, new ChosenEntropy(0.5, true));
            default ->
                new DirectPreference(
                    DirectLoss.valueOf(loss.toUpperCase(java.util.Locale.ROOT)),
                    0.5,
                    loss.equals("robust") ? 0.1 : 0,
                    off,
                    ChosenEntropy.NONE);
          };
      Batch batch = Batch.of(pairs(4));
      float[] gradient = gradients(exact, adapter, objective, List.of(batch));
      float[] values = adapter.parameters().values().toFloats();
      double norm = 0;
      for (float g : gradient) {
        norm += (double) g * g;
      }
      norm = Math.sqrt(norm);
      // along the gradient the loss rises by its norm a unit, here by 1e-3 of it: some 1e-2, where
      // rounding is 1e-5, and what curves it 1e-3 of the slope
      double h = 1e-3;
      double up = loss(exact, adapter, objective, batch, values, gradient, h / norm);
      double down = loss(exact, adapter, objective, batch, values, gradient, -h / norm);
      assertEquals(norm, (up - down) / (2 * h), 1e-2 * norm);
    }
  }

  private static double loss(
      CausalLm on,
      LoraAdapter adapter,
      Objective objective,
      Batch batch,
      float[] values,
      float[] direction,
      double step) {
    float[] moved = values.clone();
    for (int i = 0; i < moved.length; i++) {
      moved[i] += (float) (step * direction[i]);
    }
    adapter.parameters().values().setFloats(java.nio.FloatBuffer.wrap(moved));
    try (Tape tape = Tape.inference()) {
      Pass pass = Pass.evaluating(batch.sequenceStarts());
      return objective.loss(tape, on, batch, pass, 4, Checkpointing.NONE).sum() / 4;
    }
  }

  private static void perturb(LoraAdapter adapter) {
    Random random = new Random(9);
    float[] values = adapter.parameters().values().toFloats();
    for (int i = 0; i < values.length; i++) {
      values[i] += (float) (0.1 * random.nextGaussian());
    }
    adapter.parameters().values().setFloats(java.nio.FloatBuffer.wrap(values));
  }

  private static float[] gradients(
      CausalLm on, LoraAdapter adapter, Objective objective, List<Batch> batches) {
    adapter.parameters().grads().zero();
    double weight = batches.stream().mapToDouble(objective::weight).sum();
    for (Batch batch : batches) {
      Pass pass = Pass.evaluating(batch.sequenceStarts());
      try (Tape tape = Tape.recording()) {
        CausalLm.Loss loss = objective.loss(tape, on, batch, pass, weight, Checkpointing.NONE);
        tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
      }
    }
    return adapter.parameters().grads().toFloats();
  }

  /** The rows' own numbers are the base's, whichever rows stand beside them. */
  @Test
  void whatRowsKnowOfTheirReferenceIsWhatTheAdapterOffSays() {
    List<Example> rows = pairs(5);
    try (CausalLm exact = open(DType.FLOAT32);
        LoraAdapter adapter = inject(exact, 0)) {
      ReferenceRows known = new ReferenceRows(exact, Reference.of(exact), rows, () -> {});
      perturb(adapter);
      double[] off = Reference.adapterOff(adapter).logProbs(exact, Batch.of(rows));
      double[] own = Batch.of(known).reference();
      assertEquals(10, own.length);
      assertArrayEquals(off, own, 1e-4);
      assertEquals(rows.get(3).length(), known.length(3));
      double[] on = Reference.of(exact).logProbs(exact, Batch.of(rows));
      assertNotEquals(own[0], on[0], 1e-3);
    }
  }
}
