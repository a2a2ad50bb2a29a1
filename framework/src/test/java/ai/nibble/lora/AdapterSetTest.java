package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.export.merge.Merge;
import ai.nibble.export.merge.MergeReport;
import ai.nibble.export.merge.MergeRequest;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.FloatBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Several adapters on one base compute what each does alone. */
class AdapterSetTest {
  private static final int[] IDS = {1, 5, 2, 9, 3};

  @TempDir Path folder;
  private CausalLm model;
  private long liveBefore;

  @BeforeEach
  void load() {
    liveBefore = Tensor.live();
    TinyModel tiny = new TinyModel(5, false);
    tiny.writeTo(folder);
    model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
    RandomAdapter.save(model, 2, 1, folder.resolve("a"));
    RandomAdapter.save(model, 4, 2, folder.resolve("b"));
  }

  @AfterEach
  void everyTensorIsClosed() {
    model.close();
    assertEquals(liveBefore, Tensor.live());
  }

  private float[] logits() {
    try (Tensor logits = model.logits(IDS, Pass.evaluating(0, IDS.length), new int[] {4})) {
      return logits.toFloats();
    }
  }

  private float[] alone(String name) {
    try (LoraAdapter adapter = AdapterStore.load(model, folder.resolve(name))) {
      assertFalse(adapter.modules().isEmpty());
      return logits();
    }
  }

  @Test
  void theOneThatIsOnComputesWhatItDoesAlone() {
    float[] base = logits();
    float[] a = alone("a");
    float[] b = alone("b");
    assertFalse(Arrays.equals(a, b) || Arrays.equals(a, base) || Arrays.equals(b, base));
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("a", folder.resolve("a"));
      assertArrayEquals(base, logits(), "loading leaves it off");
      set.select("a");
      set.load("b", folder.resolve("b"));
      assertArrayEquals(a, logits(), "loading leaves the other on");
      set.select("b");
      assertArrayEquals(b, logits());
      set.select("a");
      assertArrayEquals(a, logits());
      set.select(AdapterSet.OFF);
      assertArrayEquals(base, logits());
      set.select("b");
      assertEquals("b", set.active());
      assertEquals(List.of("a", "b"), set.names());
    }
    assertArrayEquals(base, logits(), "closing takes it off");
  }

  /** Embedding and head are summed up like linears: halves of one adapter are the whole. */
  @Test
  void adaptersOfEmbeddingAndHeadAreSummedUp() throws IOException {
    LoraConfig tables =
        LoraConfig.DEFAULT
            .withRank(3, 6)
            .withTargets(new TargetModules.Names(List.of("q_proj", "embed_tokens", "lm_head")));
    for (String name : List.of("one", "other")) {
      try (LoraAdapter adapter = LoraAdapter.inject(model, tables, 4)) {
        FloatBuffer values = adapter.parameters().values().floats();
        for (int i = 0; i < values.limit(); i++) {
          values.put(i, (i * 37 % 101 - 50) * 0.004f);
        }
        adapter.save(folder.resolve(name), "base");
      }
    }
    float[] one = alone("one");
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("one", folder.resolve("one"));
      set.load("other", folder.resolve("other"));
      Map<String, Double> halves = new LinkedHashMap<>();
      halves.put("one", 0.25);
      halves.put("other", 0.75);
      float[] base = logits();
      set.select(halves);
      assertArrayEquals(one, logits(), 1e-5f);
      set.select(AdapterSet.OFF);
      assertArrayEquals(base, logits());
    }
  }

  /** As merging the same sum computes it, but for the order of float32 sums. */
  @Test
  void aWeightedSumComputesWhatItsMergeDoes() {
    float[] base = logits();
    float[] a = alone("a");
    float[] expected;
    MergeReport report =
        Merge.run(
            new MergeRequest(
                folder,
                List.of(
                    new MergeRequest.Adapter(folder.resolve("a"), OptionalDouble.of(0.7)),
                    new MergeRequest.Adapter(folder.resolve("b"), OptionalDouble.of(-0.3))),
                Optional.empty(),
                Optional.of(DType.FLOAT32),
                1 << 20,
                Optional.empty(),
                Optional.empty(),
                false,
                folder.resolve("merged")),
            notice -> {},
            line -> {});
    assertTrue(report.proof().holds());
    try (CausalLm merged =
            CausalLm.load(folder.resolve("merged"), LoadOptions.unquantized(DType.FLOAT32));
        Tensor logits = merged.logits(IDS, Pass.evaluating(0, IDS.length), new int[] {4})) {
      expected = logits.toFloats();
    }
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("a", folder.resolve("a"));
      set.load("b", folder.resolve("b"));
      set.select("b");
      Map<String, Double> weights = new LinkedHashMap<>();
      weights.put("a", 0.7);
      weights.put("b", -0.3);
      set.select(weights);
      assertEquals("a=0.7 + b=-0.3", set.active());
      float[] sum = logits();
      double largest = 0;
      for (float v : expected) {
        largest = Math.max(largest, Math.abs(v));
      }
      assertArrayEquals(expected, sum, (float) (1e-5 * largest));
      assertFalse(Arrays.equals(base, sum));
      assertThrows(InvalidInputException.class, () -> set.select(Map.of("c", 1.0)));
      assertThrows(InvalidInputException.class, () -> set.select(Map.of("a", Double.NaN)));
      assertArrayEquals(sum, logits(), "what is refused changes nothing");
      set.select("a");
      assertArrayEquals(a, logits());
    }
    assertArrayEquals(base, logits());
  }

  @Test
  void magnitudesAreNoPartOfASum() throws IOException {
    LoraConfig dora = LoraConfig.DEFAULT.withExtras(AdapterExtras.NONE.withDora(true));
    try (LoraAdapter adapter = LoraAdapter.inject(model, dora.withRank(2, 4), 1)) {
      adapter.saveUnfinished(folder.resolve("dora"), "base");
    }
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("dora", folder.resolve("dora"));
      assertEquals(
          "adapter 'dora' is a DoRA adapter, which is no sum with others or a weight: select it"
              + " alone",
          assertThrows(InvalidInputException.class, () -> set.select(Map.of("dora", 0.5)))
              .getMessage());
    }
  }

  @Test
  void closingAnAdapterLeavesWhatAnotherPutInItsPlace() {
    LoraAdapter first = RandomAdapter.on(model, 2, 1);
    try (LoraAdapter second = RandomAdapter.on(model, 4, 2)) {
      float[] on = logits();
      first.close();
      assertArrayEquals(on, logits());
      assertFalse(second.modules().isEmpty());
    }
  }

  @Test
  void anUnknownNameIsRefusedWithThoseThereAreAndChangesNothing() {
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("poet", folder.resolve("a"));
      set.select("poet");
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> set.select("poets"));
      assertEquals(
          "no adapter 'poets', expected one of [poet, off] (did you mean 'poet'?)", e.getMessage());
      assertEquals("poet", set.active());
      assertThrows(InvalidInputException.class, () -> set.load("poet", folder.resolve("b")));
      assertThrows(InvalidInputException.class, () -> set.load("off", folder.resolve("b")));
    }
  }

  @Test
  void oneThatDoesNotLoadLeavesTheOtherOn() throws IOException {
    Path broken = Files.createDirectories(folder.resolve("broken"));
    Files.copy(folder.resolve("b/adapter_config.json"), broken.resolve("adapter_config.json"));
    Files.copy(
        folder.resolve("a/adapter_model.safetensors"), broken.resolve("adapter_model.safetensors"));
    try (AdapterSet set = new AdapterSet(model)) {
      set.load("a", folder.resolve("a"));
      set.select("a");
      float[] on = logits();
      InvalidInputException e =
          assertThrows(InvalidInputException.class, () -> set.load("broken", broken));
      assertTrue(e.getMessage().contains("has the shape"), e.getMessage());
      assertArrayEquals(on, logits());
    }
  }
}
