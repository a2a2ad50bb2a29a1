package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.TinyModel;
import ai.nibble.model.WeightSource;
import ai.nibble.nn.Pass;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.quant.Quantized8Bit;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Float16;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** That the proof computes what models compute, and that it can fail. */
class MergeProofTest {
  private static final List<int[]> PROMPTS = List.of(new int[] {1, 4, 9, 0, 3}, new int[] {10, 2});

  @TempDir Path temp;
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private Path base(boolean tied) throws IOException {
    TinyModel model = new TinyModel(3, true).scaled(0.3f);
    if (tied) {
      model.remove("lm_head.weight");
      model.fields.put("tie_word_embeddings", "true");
    }
    Path directory = Files.createDirectories(temp.resolve("base"));
    model.writeTo(directory);
    return directory;
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void layerByLayerIsTheWholeModelBitForBit(boolean tied) throws IOException {
    Path base = base(tied);
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    Optional<QuantConfig> nf4 = Optional.of(new Quant4Config(Quant4Type.NF4, 64, true));
    float[] expected;
    int[] ids = {1, 4, 9, 0, 3, 10, 2};
    try (CausalLm model = CausalLm.load(base, new LoadOptions(nf4, DType.FLOAT32));
        LoraAdapter on = AdapterStore.load(model, adapter);
        Tensor logits =
            model.logits(ids, Pass.evaluating(0, 5, 7), new int[] {0, 1, 2, 3, 4, 5, 6})) {
      assertEquals(4, on.modules().size());
      expected = logits.toFloats();
    }
    try (WeightSource source = WeightSource.open(base);
        StoredAdapter opened = StoredAdapter.open(adapter, source)) {
      AdapterUpdates updates = new AdapterUpdates(List.of(new MergedAdapter(opened, 1)), source);
      // the scaling is folded into B here, a power of two: the same bits
      float[] actual = new LayerwiseLogits(source, base, nf4, updates, Device.CPU).compute(PROMPTS);
      assertArrayEquals(expected, actual);
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"BFLOAT16", "FLOAT16", "FLOAT32"})
  void aMergeWithAnotherFactorIsFarOutsideTheBound(DType dtype) throws IOException {
    Path base = base(false);
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    Path merged = temp.resolve("merged");
    MergeReport report =
        Merge.run(
            new MergeRequest(
                base,
                List.of(new MergeRequest.Adapter(adapter, OptionalDouble.of(1.1))),
                Optional.empty(),
                Optional.of(dtype),
                MergeRequest.MAX_SHARD_BYTES,
                Optional.empty(),
                Optional.empty(),
                false,
                merged),
            notice -> {},
            line -> {});
    MergeProof proof = report.proof();
    assertTrue(proof.holds());
    assertFalse(proof.roundingHidesAdapters());
    try (WeightSource source = WeightSource.open(base);
        WeightSource written = WeightSource.open(merged);
        StoredAdapter opened = StoredAdapter.open(adapter, source)) {
      AdapterUpdates updates = new AdapterUpdates(List.of(new MergedAdapter(opened, 1)), source);
      float[] right =
          new LayerwiseLogits(source, base, Optional.empty(), updates, Device.CPU).compute(PROMPTS);
      float[] wrong =
          new LayerwiseLogits(written, merged, Optional.empty(), null, Device.CPU).compute(PROMPTS);
      LogitDifference difference = LogitDifference.of(right, wrong, 11);
      assertFalse(difference.isWithin(proof.bound()), difference + " within " + proof.bound());
    }
  }

  /** The merged weight is the base's code values plus the update; these modules have none. */
  @Test
  void anAdapterMergesOntoAnEightBitBase() throws IOException {
    Path base = base(false);
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    MergeReport report =
        Merge.run(
            new MergeRequest(
                base,
                List.of(new MergeRequest.Adapter(adapter, OptionalDouble.empty())),
                Optional.of(new Quant8Config(6, List.of("v_proj"))),
                Optional.of(DType.FLOAT32),
                MergeRequest.MAX_SHARD_BYTES,
                Optional.empty(),
                Optional.empty(),
                false,
                temp.resolve("merged")),
            notice -> {},
            line -> {});
    assertTrue(report.proof().holds());
    assertFalse(report.proof().roundingHidesAdapters());
    try (WeightSource source = WeightSource.open(base);
        WeightSource written = WeightSource.open(temp.resolve("merged"))) {
      for (String module : List.of("mlp.up_proj", "self_attn.v_proj")) {
        String name = "model.layers.0." + module + ".weight";
        long[] shape = source.shape(name);
        int n = (int) (shape[0] * shape[1]);
        float[] stored = new float[n];
        float[] merged = new float[n];
        source.read(name, 0, stored, 0, n);
        written.read(name, 0, merged, 0, n);
        float[] expected = stored.clone();
        if (module.equals("mlp.up_proj")) {
          try (Quantized8Bit held =
              Quantized8Bit.quantize(
                  name,
                  shape[0],
                  shape[1],
                  (first, into, count) -> System.arraycopy(stored, (int) first, into, 0, count))) {
            held.read(0, expected, 0, n);
          }
        }
        assertArrayEquals(expected, merged, module);
      }
    }
  }

  @Test
  void theDivergenceIsThatOfTheTextbook() {
    // softmax of (ln 1, ln 3) is (1/4, 3/4), of (0, 0) it is (1/2, 1/2); a shift changes nothing
    float[] p = {0, (float) Math.log(3), 0, (float) Math.log(3)};
    float[] q = {0, 0, 7, 7};
    LogitDifference difference = LogitDifference.of(p, q, 2);
    double kl = 0.25 * Math.log(0.5) + 0.75 * Math.log(1.5);
    assertEquals(kl, difference.meanKl(), 1e-7);
    assertEquals(7, difference.max());
    assertEquals(new LogitDifference(0, 0), LogitDifference.of(p, p, 2));
  }

  @Test
  void logitsThatAreNotNumbersProveNothing() {
    float[] p = {0, 1};
    float[] nan = {Float.NaN, 1};
    LogitDifference wide = new LogitDifference(1e9, 1e9);
    assertFalse(LogitDifference.of(p, nan, 2).isWithin(wide));
    assertFalse(LogitDifference.of(nan, p, 2).isWithin(wide));
  }

  @Test
  void theBoundIsAMultipleOfADrawOfRounding() {
    LogitDifference bound = MergeProof.bound(new LogitDifference(0.5, 0.01));
    assertEquals(new LogitDifference(2, 0.16), bound);
  }

  @Test
  void aDitheredWeightStaysWithinHalfAUnitAndMoves() throws IOException {
    try (WeightSource source = WeightSource.open(base(false))) {
      String name = "model.layers.1.mlp.up_proj.weight";
      float[] values = new float[240];
      source.read(name, 0, values, 0, values.length);
      for (DType dtype : List.of(DType.BFLOAT16, DType.FLOAT16)) {
        DitheredWeights dithered =
            new DitheredWeights(source, dtype, n -> n.contains("up_proj"), 1);
        float[] moved = new float[240];
        dithered.read(name, 0, moved, 0, 100);
        dithered.read(name, 100, moved, 100, 140);
        double sum = 0;
        for (int i = 0; i < moved.length; i++) {
          double unit = DitheredWeights.unitInLastPlace(dtype, values[i]);
          double units = (moved[i] - values[i]) / unit;
          assertTrue(Math.abs(units) <= 0.501, units + " units"); // and float32's rounding
          sum += units * units;
        }
        // 240 draws of variance 1/12, whose squares have a standard deviation of 0.0745
        assertEquals(1 / 12.0, sum / 240, 5 * 0.0745 / Math.sqrt(240));
        float[] before = new float[12];
        float[] after = new float[12];
        source.read("model.norm.weight", 0, before, 0, 12);
        dithered.read("model.norm.weight", 0, after, 0, 12);
        for (int i = 0; i < 12; i++) {
          // √12 half units of float32 of the exact ones, and the rounding of the result
          double most = (Math.sqrt(12) + 1) / 2 * Math.ulp(before[i]);
          assertEquals(before[i], after[i], most);
        }
        assertTrue(Arrays.mismatch(before, after) >= 0);
      }
    }
  }

  @Test
  void aUnitInTheLastPlaceIsTheStepToTheNextNumber() {
    for (float value : new float[] {1, 1.5f, 0.75f, 3e-5f, 6e-8f, 1000, 1e-3f}) {
      short b = Bfloat16.of(value);
      assertEquals(
          Bfloat16.toFloat((short) (b + 1)) - Bfloat16.toFloat(b),
          DitheredWeights.unitInLastPlace(DType.BFLOAT16, Bfloat16.toFloat(b)));
      short h = Float16.of(value);
      assertEquals(
          Float16.toFloat((short) (h + 1)) - Float16.toFloat(h),
          DitheredWeights.unitInLastPlace(DType.FLOAT16, Float16.toFloat(h)));
      assertEquals(Math.ulp(value), DitheredWeights.unitInLastPlace(DType.FLOAT32, value));
    }
  }
}
