package ai.nibble.train;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.TinyChat;
import ai.nibble.checkpoint.CheckpointFolder;
import ai.nibble.checkpoint.SavedCheckpoint;
import ai.nibble.data.Example;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeReport;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.InitLoraWeights;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.TargetModules;
import ai.nibble.lora.TrainableTokens;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.Decoder;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Pass;
import ai.nibble.optim.AdamWConfig;
import ai.nibble.optim.Schedule;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import ai.nibble.train.objective.SupervisedFineTuning;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Every kind of adapter, from its first step to the model it is merged into. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class VariantRunTest {
  private static final int STEPS = 6;
  private static final Quant4Config NF4 = new Quant4Config(Quant4Type.NF4, 64, true);
  private static final int[] PROMPT = {5, 9, 40, 7, 22, 3, 51, 14};

  private Path base;
  private CausalLm model;

  /** The kinds, all on all linears with rank 4. */
  enum Variant {
    DORA(dora(0)),
    DORA_WITH_DROPOUT(dora(0.1)),
    HEAD(whole("lm_head")),
    EMBEDDING_AND_HEAD(whole("embed_tokens", "lm_head")),
    ADAPTED_EMBEDDING_AND_HEAD(
        plain(0.1)
            .withTargets(new TargetModules.Names(List.of("q_proj", "embed_tokens", "lm_head")))),
    ROWS_OF_TOKENS(
        plain(0.1)
            .withExtras(
                AdapterExtras.NONE.withTrainableTokens(
                    TrainableTokens.ofEmbedding(List.of(40, 5, 9))))),
    ORTHOGONAL(begun(InitLoraWeights.ORTHOGONAL)),
    PISSA(begun(InitLoraWeights.PISSA)),
    PISSA_BY_ITERATIONS(begun(InitLoraWeights.pissa(4))),
    OLORA(begun(InitLoraWeights.OLORA)),
    LOFTQ(begun(InitLoraWeights.LOFTQ)),
    /** Trained with noise on the embeddings, which a resumed run has to go on with. */
    NEFTUNE(plain(0)),
    DORA_ON_PISSA(begun(InitLoraWeights.PISSA).withExtras(AdapterExtras.NONE.withDora(true)));

    private final LoraConfig config;

    Variant(LoraConfig config) {
      this.config = config;
    }

    private static LoraConfig dora(double dropout) {
      return plain(dropout).withExtras(AdapterExtras.NONE.withDora(true));
    }

    private static LoraConfig whole(String... modules) {
      return plain(0.1).withExtras(AdapterExtras.NONE.withModulesToSave(List.of(modules)));
    }

    private static LoraConfig begun(InitLoraWeights how) {
      return plain(0).withInit(how);
    }

    private static LoraConfig plain(double dropout) {
      return LoraConfig.DEFAULT.withRank(4, 8).withDropout(dropout);
    }
  }

  @BeforeAll
  void load(@TempDir Path shared) throws IOException {
    base = TinyChat.write(shared.resolve("base"));
    model =
        CausalLm.load(base, new LoadOptions(Optional.of((QuantConfig) NF4), DType.FLOAT32, false));
  }

  @AfterAll
  void close() {
    model.close();
  }

  private LoraAdapter inject(Variant variant) {
    try (WeightSource source = WeightSource.open(base)) {
      return LoraAdapter.inject(model, variant.config, 5, source);
    }
  }

  private Trainer trainer(LoraAdapter adapter, Checkpointing checkpointing) {
    return trainer(adapter, checkpointing, 0);
  }

  private Trainer trainer(LoraAdapter adapter, Checkpointing checkpointing, double noise) {
    List<Example> rows = TinyRun.rows(20, 3);
    TrainSettings settings =
        new TrainSettings(
            3,
            2,
            STEPS,
            1e-2,
            new Schedule.Cosine(1, STEPS),
            AdamWConfig.DEFAULT,
            1,
            checkpointing,
            0,
            3,
            0,
            2,
            7);
    return new Trainer(
        model,
        adapter,
        new SupervisedFineTuning(),
        settings.withNeftune(noise),
        rows,
        List.of(),
        List.of());
  }

  private static double noise(Variant variant) {
    return variant == Variant.NEFTUNE ? 5 : 0;
  }

  private static RunPlace place(Path output) {
    return new RunPlace(output, "base", "", Map.of());
  }

  private float[] logits() {
    int[] all = IntStream.range(0, PROMPT.length).toArray();
    try (Tensor logits = model.logits(PROMPT, Pass.evaluating(0, PROMPT.length), all)) {
      return logits.toFloats();
    }
  }

  private float[] trained(Variant variant, Path output, Checkpointing checkpointing) {
    try (LoraAdapter adapter = inject(variant)) {
      trainer(adapter, checkpointing, noise(variant)).run(place(output));
      return adapter.parameters().values().toFloats();
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void aResumedRunEndsWithTheSameBits(Variant variant, @TempDir Path temp) {
    float[] whole = trained(variant, temp.resolve("whole"), Checkpointing.NONE);
    assertArrayEquals(whole, trained(variant, temp.resolve("again"), Checkpointing.BLOCK));
    assertArrayEquals(whole, trained(variant, temp.resolve("third"), Checkpointing.SELECTIVE));
    assertArrayEquals(whole, trained(variant, temp.resolve("fourth"), Checkpointing.PARTIAL));
    Path cut = temp.resolve("cut");
    try (LoraAdapter adapter = inject(variant)) {
      AtomicInteger left = new AtomicInteger(2);
      Trainer trainer = trainer(adapter, Checkpointing.NONE, noise(variant));
      trainer.stopWhen(() -> left.decrementAndGet() == 0);
      assertThrows(TrainingInterruptedException.class, () -> trainer.run(place(cut)));
    }
    SavedCheckpoint checkpoint = CheckpointFolder.newest(cut, line -> {}).orElseThrow();
    assertEquals(2, checkpoint.state().step());
    try (LoraAdapter adapter = resume(variant, checkpoint)) {
      Trainer trainer = trainer(adapter, Checkpointing.NONE, noise(variant));
      trainer.resume(checkpoint);
      trainer.run(place(cut));
      assertArrayEquals(whole, adapter.parameters().values().toFloats());
    }
  }

  private LoraAdapter resume(Variant variant, SavedCheckpoint checkpoint) {
    return variant.config.initLoraWeights().isSubtracted()
        ? LoraAdapter.resume(model, variant.config, checkpoint.directory())
        : inject(variant);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void whatIsSavedIsWhatWasTrained(Variant variant, @TempDir Path temp) throws IOException {
    float[] before = logits();
    float[] after;
    Path saved = temp.resolve("saved");
    try (LoraAdapter adapter = inject(variant)) {
      if (variant != Variant.LOFTQ) {
        // some 2⁻²⁴ of what is added to and taken from the weights
        assertEquals(0, largestDifference(before, logits()), 1e-5 * largest(before));
      }
      trainer(adapter, Checkpointing.NONE).run(place(temp.resolve("run")));
      after = logits();
      assertTrue(largestDifference(before, after) > 1e-3, "training changed nothing");
      adapter.save(saved, base.toString());
      adapter.detach();
      assertArrayEquals(before, logits());
    }
    assertArrayEquals(before, logits());
    try (LoraAdapter adapter = AdapterStore.load(model, saved)) {
      assertArrayEquals(after, logits());
      assertGenerates(after);
      Path second = temp.resolve("second");
      adapter.save(second, base.toString());
      assertEquals(
          -1,
          Files.mismatch(
              saved.resolve(AdapterStore.WEIGHTS), second.resolve(AdapterStore.WEIGHTS)));
    }
  }

  /** Token after token, with a cache: sums in another order. */
  private void assertGenerates(float[] logits) {
    double tolerance = 1e-5 * largest(logits);
    int vocabulary = logits.length / PROMPT.length;
    try (Decoder decoder = new Decoder(model, Long.MAX_VALUE);
        KvCache cache = decoder.cache(PROMPT.length)) {
      for (int t = 0; t < PROMPT.length; t++) {
        try (Tensor next = decoder.next(List.of(new int[] {PROMPT[t]}), List.of(cache))) {
          float[] row = next.toFloats();
          for (int v = 0; v < vocabulary; v++) {
            assertEquals(logits[t * vocabulary + v], row[v], tolerance, "token " + t);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void theMergedModelIsWhatWasTrained(Variant variant, @TempDir Path temp) throws IOException {
    Path saved = temp.resolve("saved");
    float[] after;
    try (LoraAdapter adapter = inject(variant)) {
      trainer(adapter, Checkpointing.NONE).run(place(temp.resolve("run")));
      after = logits();
      adapter.save(saved, base.toString());
    }
    MergeReport report =
        Merge.run(
            new MergeRequest(
                base,
                List.of(new MergeRequest.Adapter(saved, OptionalDouble.empty())),
                Optional.of(NF4),
                Optional.of(DType.FLOAT32),
                100_000,
                Optional.empty(),
                Optional.empty(),
                false,
                temp.resolve("merged")),
            notice -> {},
            line -> {});
    assertTrue(report.proof().holds(), report.proof() + "");
    int[] all = IntStream.range(0, PROMPT.length).toArray();
    try (CausalLm merged =
            CausalLm.load(temp.resolve("merged"), LoadOptions.unquantized(DType.FLOAT32));
        Tensor logits = merged.logits(PROMPT, Pass.evaluating(0, PROMPT.length), all)) {
      // float32 throughout: sums of at most 24 products in another order
      assertEquals(0, largestDifference(after, logits.toFloats()), 1e-5 * largest(after));
    }
  }

  private static double largest(float[] values) {
    return largestDifference(values, new float[values.length]);
  }

  private static double largestDifference(float[] a, float[] b) {
    assertEquals(a.length, b.length);
    return IntStream.range(0, a.length).mapToDouble(i -> Math.abs(a[i] - b[i])).max().orElseThrow();
  }
}
