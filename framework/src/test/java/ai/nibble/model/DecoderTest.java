package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.autograd.Tape;
import ai.nibble.lora.AdapterExtras;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.lora.LoraConfig;
import ai.nibble.lora.RandomAdapter;
import ai.nibble.lora.TargetModules;
import ai.nibble.lora.TrainableTokens;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Pass;
import ai.nibble.quant.PackedProduct;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.Quant8Config;
import ai.nibble.quant.QuantConfig;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Token after token with a cache is what the whole sequence gives. */
class DecoderTest {
  /** Sequences begin with different numbers of tokens: one, and past a block of attention. */
  private static final int[] PROMPTS = {1, 7, 140, 2};

  private static final int NEW_TOKENS = 9;
  private static final int VOCABULARY = 11;
  private static final long ALL = Long.MAX_VALUE;

  @TempDir Path folder;
  private long liveBefore;

  @BeforeEach
  void countTensors() {
    liveBefore = Tensor.live();
  }

  @AfterEach
  void everyTensorIsClosed() {
    assertEquals(liveBefore, Tensor.live());
  }

  private CausalLm model(boolean biases, String ropeScaling, boolean nf4, DType compute) {
    TinyModel tiny = new TinyModel(11, biases);
    if (!ropeScaling.isEmpty()) {
      tiny.fields.put("rope_scaling", ropeScaling);
    }
    tiny.writeTo(folder);
    Optional<QuantConfig> quantization =
        nf4 ? Optional.of(new Quant4Config(Quant4Type.NF4, 32, true)) : Optional.empty();
    return CausalLm.load(folder, new LoadOptions(quantization, compute));
  }

  /** An adapter that changes the logits: B drawn too. */
  private static LoraAdapter adapter(CausalLm model) {
    return adapter(model, 0.3);
  }

  private static LoraAdapter adapter(CausalLm model, double deviation) {
    LoraAdapter adapter =
        LoraAdapter.inject(model, LoraConfig.DEFAULT.withRank(3, 6).withDropout(0.5), 4);
    FloatBuffer values = adapter.parameters().values().floats();
    Random random = new Random(8);
    for (int i = 0; i < values.limit(); i++) {
      values.put(i, (float) (random.nextGaussian() * deviation));
    }
    return adapter;
  }

  private static List<int[]> sequences() {
    Random random = new Random(3);
    List<int[]> sequences = new ArrayList<>();
    for (int prompt : PROMPTS) {
      sequences.add(random.ints(prompt + NEW_TOKENS, 0, VOCABULARY).toArray());
    }
    return sequences;
  }

  private static float[][] whole(CausalLm model, int[] ids) {
    int[] positions = new int[ids.length];
    Arrays.setAll(positions, i -> i);
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), positions)) {
      return rows(logits);
    }
  }

  private static float[][] rows(Tensor logits) {
    float[] all = logits.toFloats();
    int width = (int) logits.size(1);
    float[][] rows = new float[all.length / width][];
    Arrays.setAll(rows, r -> Arrays.copyOfRange(all, r * width, (r + 1) * width));
    return rows;
  }

  /** Largest difference from the whole sequences' logits, as a share of the largest logit. */
  private static double worst(CausalLm model, long weightBytes) {
    return worst(model, weightBytes, false);
  }

  /**
   * The same.
   *
   * @param prefixes whether what comes after a token is in doubt until that is known, as where a
   *     sequence's length decides by what it is rotated: each prefix is computed by itself
   */
  private static double worst(CausalLm model, long weightBytes, boolean prefixes) {
    List<int[]> all = sequences();
    double worst = 0;
    double scale = 0;
    List<KvCache> caches = new ArrayList<>();
    try (Decoder decoder = new Decoder(model, weightBytes)) {
      List<float[][]> expected = all.stream().map(ids -> whole(model, ids)).toList();
      List<int[]> due = new ArrayList<>();
      for (int s = 0; s < PROMPTS.length; s++) {
        caches.add(decoder.cache(all.get(s).length));
        due.add(Arrays.copyOf(all.get(s), PROMPTS[s]));
      }
      for (int step = 0; step <= NEW_TOKENS; step++) {
        float[][] actual;
        try (Tensor logits = decoder.next(due, caches)) {
          actual = rows(logits);
        }
        due.clear();
        for (int s = 0; s < PROMPTS.length; s++) {
          int at = PROMPTS[s] + step;
          assertEquals(at, caches.get(s).length());
          float[] row =
              prefixes
                  ? whole(model, Arrays.copyOf(all.get(s), at))[at - 1]
                  : expected.get(s)[at - 1];
          for (int v = 0; v < VOCABULARY; v++) {
            float e = row[v];
            assertTrue(Float.isFinite(actual[s][v]));
            worst = Math.max(worst, Math.abs(e - actual[s][v]));
            scale = Math.max(scale, Math.abs(e));
          }
          due.add(step == NEW_TOKENS ? null : new int[] {all.get(s)[at]});
        }
      }
    } finally {
      caches.forEach(KvCache::close);
    }
    return worst / scale;
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "false | '' | false | false",
        "true  | '' | false | true",
        "false | '' | true  | true",
        "false | {\"rope_type\": \"linear\", \"factor\": 4.0} | false | false",
        "false | {\"rope_type\": \"yarn\", \"factor\": 4.0,"
            + " \"original_max_position_embeddings\": 512} | false | true",
      })
  void everyPositionOfEverySequenceHasTheLogitsOfTheWhole(
      boolean biases, String ropeScaling, boolean nf4, boolean adapted) {
    try (CausalLm model = model(biases, ropeScaling, nf4, DType.FLOAT32)) {
      LoraAdapter adapter = adapted ? adapter(model) : null;
      // products of other shapes sum in another order: a few float32 roundings of 6e-8
      assertEquals(0, worst(model, ALL), 1e-5);
      assertEquals(0, worst(model, 0), 1e-5);
      if (adapter != null) {
        adapter.close();
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"false", "true"})
  void inBfloat16TheyDifferByItsRounding(boolean adapted) {
    try (CausalLm model = model(true, "", true, DType.BFLOAT16)) {
      LoraAdapter adapter = adapted ? adapter(model) : null;
      // a sum in another order rounds some of two layers' values one step of 2^-8 the other way
      assertEquals(0, worst(model, ALL), 4 * 0x1p-8);
      if (adapter != null) {
        adapter.close();
      }
    }
  }

  /** Windows of 5 and 6 tokens end inside every prompt but the first. */
  @ParameterizedTest
  @CsvSource({
    "mistral, FLOAT32, false",
    "mistral, BFLOAT16, true",
    "qwen2, FLOAT32, true",
    "qwen2, BFLOAT16, false",
    "qwen3, FLOAT32, false",
    "qwen3, BFLOAT16, true",
    "smollm3, FLOAT32, true",
    "gemma2, FLOAT32, false",
    "gemma2, BFLOAT16, true",
    "gemma3_text, FLOAT32, true",
    "gemma3_text, BFLOAT16, false",
    "phi3, FLOAT32, true",
    "phi3, BFLOAT16, false",
    "olmo2, FLOAT32, true",
    "olmo2, BFLOAT16, false",
    "mixtral, FLOAT32, false",
    "mixtral, FLOAT32, true",
    "qwen3_moe, FLOAT32, false"
  })
  void everyArchitectureHasTheLogitsOfTheWhole(String modelType, DType compute, boolean nf4) {
    TinyModel tiny = TinyModel.of(modelType, 12).scaled(0.4f);
    tiny.writeTo(folder);
    Optional<QuantConfig> quantization =
        nf4 ? Optional.of(new Quant4Config(Quant4Type.NF4, 32, true)) : Optional.empty();
    try (CausalLm model = CausalLm.load(folder, new LoadOptions(quantization, compute))) {
      double tolerance = compute == DType.FLOAT32 ? 1e-5 : 4 * 0x1p-8;
      // two of the sequences grow beyond the length up to which Phi 3's first frequencies serve
      boolean prefixes = modelType.equals("phi3");
      assertEquals(0, worst(model, ALL, prefixes), tolerance);
      assertEquals(0, worst(model, 0, prefixes), tolerance);
    }
  }

  /** What was computed as part of a longer sequence is of no use to a shorter one. */
  @Test
  void aSequenceCutBelowTheLengthWhereFrequenciesChangeIsComputedAnew() {
    TinyModel tiny = TinyModel.of("phi3", 12).scaled(0.4f);
    tiny.writeTo(folder);
    int[] ids = new Random(6).ints(15, 0, VOCABULARY).toArray();
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.FLOAT32));
        Decoder decoder = new Decoder(model, ALL);
        KvCache cache = decoder.cache(20);
        KvCache copy = decoder.cache(20)) {
      decoder.next(List.of(ids), List.of(cache)).close();
      cache.truncate(8);
      copy.copyFrom(cache, 7);
      float[] expected = whole(model, Arrays.copyOf(ids, 9))[8];
      try (Tensor logits = decoder.next(List.of(new int[] {ids[8]}), List.of(cache))) {
        assertArrayEquals(expected, logits.toFloats(), 1e-5f);
      }
      try (Tensor logits = decoder.next(List.of(new int[] {ids[7], ids[8]}), List.of(copy))) {
        assertArrayEquals(expected, logits.toFloats(), 1e-5f);
      }
    }
  }

  /** A model in NF4 whose rows are whole units of the kernel that reads them packed. */
  private CausalLm wideModel(DType compute) {
    return wideModel(compute, new Quant4Config(Quant4Type.NF4, 64, true), 64);
  }

  private CausalLm wideModel(DType compute, QuantConfig config) {
    return wideModel(compute, config, 64);
  }

  private CausalLm wideModel(DType compute, int intermediate) {
    return wideModel(compute, new Quant4Config(Quant4Type.NF4, 64, true), intermediate);
  }

  private CausalLm wideModel(DType compute, QuantConfig config, int intermediate) {
    TinyModel tiny = new TinyModel(13, false);
    tiny.fields.put("hidden_size", "32");
    tiny.fields.put("intermediate_size", Integer.toString(intermediate));
    tiny.fields.put("num_attention_heads", "4");
    tiny.add(TinyModel.EMBEDDING, VOCABULARY, 32);
    tiny.add(TinyModel.HEAD, VOCABULARY, 32);
    tiny.add("model.norm.weight", 32);
    for (int layer = 0; layer < 2; layer++) {
      String p = "model.layers." + layer + ".";
      tiny.add(p + "input_layernorm.weight", 32);
      tiny.add(p + "post_attention_layernorm.weight", 32);
      tiny.add(p + "self_attn.q_proj.weight", 32, 32);
      tiny.add(p + "self_attn.k_proj.weight", 8, 32);
      tiny.add(p + "self_attn.v_proj.weight", 8, 32);
      tiny.add(p + "self_attn.o_proj.weight", 32, 32);
      tiny.add(p + "mlp.gate_proj.weight", intermediate, 32);
      tiny.add(p + "mlp.up_proj.weight", intermediate, 32);
      tiny.add(p + "mlp.down_proj.weight", 32, intermediate);
    }
    tiny.writeTo(folder);
    return CausalLm.load(folder, new LoadOptions(Optional.of(config), compute));
  }

  /**
   * Rows are quantised each on its own and, without a threshold, no column depends on other rows. A
   * last bit of another order of sums may still move an activation by one code of 127.
   */
  @ParameterizedTest
  @CsvSource({"FLOAT32, false", "FLOAT32, true", "BFLOAT16, true"})
  void weightsReadAsTheyLieInEightBitsGiveTheLogitsOfTheWhole(DType compute, boolean adapted) {
    Quant8Config config = new Quant8Config(0, List.of("layers.1.mlp", "k_proj"));
    try (CausalLm model = wideModel(compute, config)) {
      LoraAdapter adapter = adapted ? adapter(model) : null;
      assertEquals("int8", weight(model, "model.layers.0.mlp.up_proj"));
      assertEquals("float32", weight(model, "model.layers.1.mlp.up_proj"));
      assertEquals("float32", weight(model, "model.layers.0.self_attn.k_proj"));
      double tolerance = compute == DType.FLOAT32 ? 1 / 127.0 : 6 * 0x1p-8;
      assertEquals(0, worst(model, ALL), tolerance);
      assertEquals(0, worst(model, 0), tolerance);
      if (adapter != null) {
        adapter.close();
      }
    }
    try (CausalLm model = wideModel(compute, new Quant8Config());
        LoraAdapter adapter = adapter(model);
        Decoder decoder = new Decoder(model, ALL)) {
      String expected = "generation reads the weights as they lie in 8 bits";
      assertTrue(decoder.description().startsWith(expected), decoder.description());
      long adapters =
          model.groups().stream().mapToLong(g -> g.packedBytes(model.precision())).sum();
      assertTrue(adapter.parameters().numel() > 0 && adapters > 0);
      assertEquals(model.headWeight().copyBytes() + adapters, decoder.keptBytes());
    }
  }

  private static String weight(CausalLm model, String path) {
    return model.linears().get(path).weight().format();
  }

  @Test
  void aModuleToSkipThatThereIsNotIsNamed() {
    Quant8Config config = new Quant8Config(6, List.of("lm_head", "q_proj", "qproj"));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> wideModel(DType.FLOAT32, config));
    assertEquals(
        folder
            + ": llm_int8_skip_modules: no module is named 'qproj', expected names such as"
            + " down_proj or layers.0",
        e.getMessage());
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, false", "FLOAT32, true", "BFLOAT16, false", "BFLOAT16, true"})
  void weightsReadAsTheyLieInFourBitsGiveTheLogitsOfTheWhole(DType compute, boolean adapted) {
    assumeTrue(
        PackedProduct.isAvailable(),
        "skipped: needs 512-bit registers and --add-modules jdk.incubator.vector");
    try (CausalLm model = wideModel(compute)) {
      LoraAdapter adapter = adapted ? adapter(model) : null;
      // whole sequences are longer than what is read packed, and four tokens at a time are not
      assertTrue(PROMPTS.length <= PackedProduct.MAX_ROWS);
      assertTrue(PROMPTS[0] + NEW_TOKENS > PackedProduct.MAX_ROWS);
      double tolerance = compute == DType.FLOAT32 ? 1e-5 : 4 * 0x1p-8;
      assertEquals(0, worst(model, ALL), tolerance);
      assertEquals(0, worst(model, 0), tolerance);
      try (Decoder decoder = new Decoder(model, ALL)) {
        String expected = "generation reads the weights as they lie in 4 bits";
        assertTrue(decoder.description().startsWith(expected), decoder.description());
        long adapters =
            model.groups().stream().mapToLong(g -> g.packedBytes(model.precision())).sum();
        assertEquals(adapted, adapters > 0);
        assertEquals(model.headWeight().copyBytes() + adapters, decoder.keptBytes());
      }
      if (adapter != null) {
        adapter.close();
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT32", "BFLOAT16"})
  void whatIsReadInFourBitsIsToldFromWhatIsKeptOrMadeAnew(DType compute) {
    assumeTrue(
        PackedProduct.isAvailable(),
        "skipped: needs 512-bit registers and --add-modules jdk.incubator.vector");
    // two layers of four groups; 48 columns of the last one are no multiple of what packed
    // products take at once
    try (CausalLm model = wideModel(compute, 48)) {
      String packed = "6 of 8 groups of weights are read in 4 bits; generation keeps ";
      String dtype = model.precision().product().torchName();
      long headBytes = model.headWeight().copyBytes();
      long one = model.groups().get(3).keptBytes(model.precision());
      String anew = "made anew for every token, as memory is short";
      String head = headBytes > 0 ? "; the output head is " + anew : "";
      assertEquals(packed + "the others in " + dtype + ": 0 MB", description(model, ALL));
      assertEquals(
          packed + "1 of 2 others in " + dtype + " (0 MB); the rest are " + anew,
          description(model, headBytes + one));
      assertEquals(
          packed + "0 of 2 others in " + dtype + " (0 MB); the rest are " + anew + head,
          description(model, 0));
    }
  }

  private static String description(CausalLm model, long weightBytes) {
    try (Decoder decoder = new Decoder(model, weightBytes)) {
      return decoder.description();
    }
  }

  /**
   * Beside the same token in a batch of two, which goes another way with the same roundings: they
   * differ by sums in another order, a rounding of bfloat16 now and then.
   */
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT32", "BFLOAT16"})
  void aTokenOnItsOwnHasTheLogitsOfOneInABatch(DType compute) {
    try (CausalLm model = modelForTokens(true, compute);
        LoraAdapter adapter = adapter(model, 0.05);
        Decoder decoder = new Decoder(model, ALL)) {
      assertTrue(adapter.modules().size() > 0);
      assumeTrue(decoder.hasTokenPass(), "skipped: needs 512-bit registers and GNU's OpenMP");
      int[] ids = sequences().get(1);
      try (KvCache own = decoder.cache(ids.length);
          KvCache first = decoder.cache(ids.length);
          KvCache second = decoder.cache(ids.length)) {
        double worst = 0;
        double scale = 0;
        for (int at = 0; at < ids.length; at++) {
          int[] token = {ids[at]};
          try (Tensor alone = decoder.next(List.of(token), List.of(own));
              Tensor both = decoder.next(List.of(token, token), List.of(first, second))) {
            float[] expected = rows(both)[0];
            float[] actual = rows(alone)[0];
            for (int v = 0; v < VOCABULARY; v++) {
              worst = Math.max(worst, Math.abs(expected[v] - actual[v]));
              scale = Math.max(scale, Math.abs(expected[v]));
            }
          }
        }
        assertEquals(0, worst / scale, compute == DType.FLOAT32 ? 1e-5 : 4 * 0x1p-8);
      }
    }
  }

  /** A model in NF4 whose heads are whole units, too: its tokens go through on their own. */
  private CausalLm modelForTokens(boolean biases, DType compute) {
    return modelForTokens(new TinyModel(17, false), biases, compute);
  }

  private CausalLm modelForTokens(TinyModel tiny, boolean biases, DType compute) {
    int hidden = 64;
    int inner = 96;
    int keys = 2 * 32;
    tiny.fields.put("hidden_size", "" + hidden);
    tiny.fields.put("intermediate_size", "" + inner);
    tiny.fields.put("num_attention_heads", "4");
    tiny.fields.put("num_key_value_heads", "2");
    tiny.fields.put("head_dim", "32");
    tiny.fields.put("attention_bias", "" + biases);
    tiny.fields.put("mlp_bias", "" + biases);
    tiny.add(TinyModel.EMBEDDING, VOCABULARY, hidden);
    tiny.add(TinyModel.HEAD, VOCABULARY, hidden);
    tiny.add("model.norm.weight", hidden);
    for (int layer = 0; layer < 2; layer++) {
      String p = "model.layers." + layer + ".";
      tiny.add(p + "input_layernorm.weight", hidden);
      tiny.add(p + "post_attention_layernorm.weight", hidden);
      linear(tiny, p + "self_attn.q_proj", 2 * keys, hidden, biases);
      linear(tiny, p + "self_attn.k_proj", keys, hidden, biases);
      linear(tiny, p + "self_attn.v_proj", keys, hidden, biases);
      linear(tiny, p + "self_attn.o_proj", hidden, 2 * keys, biases);
      linear(tiny, p + "mlp.gate_proj", inner, hidden, biases);
      linear(tiny, p + "mlp.up_proj", inner, hidden, biases);
      linear(tiny, p + "mlp.down_proj", hidden, inner, biases);
    }
    tiny.scaled(0.2f).writeConfig(folder);
    tiny.writeSafetensors(folder.resolve("model.safetensors"));
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    return CausalLm.load(folder, new LoadOptions(Optional.of(nf4), compute));
  }

  private static void linear(TinyModel tiny, String path, int out, int in, boolean bias) {
    tiny.add(path + ".weight", out, in);
    if (bias) {
      tiny.add(path + ".bias", out);
    }
  }

  /** A pass over one token knows norms of heads, windows and layers that rotate nothing. */
  @ParameterizedTest
  @CsvSource({
    "mistral, FLOAT32",
    "mistral, BFLOAT16",
    "qwen3, FLOAT32",
    "qwen3, BFLOAT16",
    "smollm3, BFLOAT16"
  })
  void tokensOfEveryArchitectureHaveTheLogitsOfTheWhole(String modelType, DType compute) {
    TinyModel tiny = TinyModel.of(modelType, 17);
    for (int layer = 0; layer < 2 && modelType.equals("qwen3"); layer++) {
      tiny.add("model.layers." + layer + ".self_attn.q_norm.weight", 32);
      tiny.add("model.layers." + layer + ".self_attn.k_norm.weight", 32);
    }
    try (CausalLm model = modelForTokens(tiny, false, compute)) {
      assertTokensHaveTheLogitsOfTheWhole(model, compute);
    }
  }

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, false, false",
    "FLOAT32, true, true",
    "BFLOAT16, true, false",
    "BFLOAT16, false, true"
  })
  void tokensOfOneSequenceHaveTheLogitsOfTheWhole(DType compute, boolean biases, boolean adapted) {
    try (CausalLm model = modelForTokens(biases, compute)) {
      // larger ones make scores of which one rounding to bfloat16 changes who is attended to
      LoraAdapter adapter = adapted ? adapter(model, 0.05) : null;
      assertTokensHaveTheLogitsOfTheWhole(model, compute);
      if (adapter != null) {
        adapter.close();
      }
    }
  }

  /** Low-rank updates of embedding and head, which a token on its own meets in arrays. */
  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT32", "BFLOAT16"})
  void tokensOfAnAdaptedEmbeddingAndHeadHaveTheLogitsOfTheWhole(DType compute) {
    LoraConfig tables =
        LoraConfig.DEFAULT
            .withRank(3, 6)
            .withDropout(0.5)
            .withTargets(new TargetModules.Names(List.of("q_proj", "embed_tokens", "lm_head")));
    try (CausalLm model = modelForTokens(false, compute);
        LoraAdapter adapter = LoraAdapter.inject(model, tables, 4)) {
      float[][] before = whole(model, new int[] {3, 1, 4});
      FloatBuffer values = adapter.parameters().values().floats();
      Random random = new Random(8);
      for (int i = 0; i < values.limit(); i++) {
        values.put(i, (float) (random.nextGaussian() * 0.1));
      }
      assertFalse(Arrays.deepEquals(before, whole(model, new int[] {3, 1, 4})));
      assertTokensHaveTheLogitsOfTheWhole(model, compute);
    }
  }

  /** A head in float32 is converted for bfloat16: a copy that rows must not stay in. */
  @Test
  void rowsThatAreSwitchedOffLeaveTheCopyOfTheHead() {
    TinyModel tiny = new TinyModel(5, true);
    tiny.writeTo(folder);
    LoraConfig config =
        LoraConfig.DEFAULT
            .withRank(2, 4)
            .withExtras(
                AdapterExtras.NONE.withTrainableTokens(
                    new TrainableTokens(Map.of("lm_head", List.of(3, 1)))));
    try (CausalLm model = CausalLm.load(folder, LoadOptions.unquantized(DType.BFLOAT16));
        LoraAdapter adapter = LoraAdapter.inject(model, config, 1);
        Decoder decoder = new Decoder(model, ALL)) {
      assertTrue(model.headWeight().copyBytes() > 0);
      adapter.parameters().parameters().stream()
          .filter(p -> p.name().contains("trainable_tokens"))
          .forEach(p -> p.value().setFloats(FloatBuffer.wrap(new float[(int) p.value().numel()])));
      for (boolean on : new boolean[] {true, false, true}) {
        if (on) {
          adapter.attach();
        } else {
          adapter.detach();
        }
        decoder.adaptersChanged();
        try (KvCache cache = decoder.cache(4);
            Tensor logits = decoder.next(List.of(new int[] {2, 4}), List.of(cache))) {
          assertEquals(on, rows(logits)[0][3] == 0 && rows(logits)[0][1] == 0);
          assertArrayEquals(whole(model, new int[] {2, 4})[1], rows(logits)[0], 0.05f); // bfloat16
        }
      }
    }
  }

  private static void assertTokensHaveTheLogitsOfTheWhole(CausalLm model, DType compute) {
    double worst = 0;
    double scale = 0;
    try (Decoder decoder = new Decoder(model, ALL)) {
      assumeTrue(decoder.hasTokenPass(), "skipped: needs 512-bit registers and GNU's OpenMP");
      for (int s = 0; s < PROMPTS.length; s++) {
        int[] ids = sequences().get(s);
        float[][] expected = whole(model, ids);
        try (KvCache cache = decoder.cache(ids.length)) {
          for (int at = 0; at < ids.length; at = cache.length()) {
            int end = at == 0 ? PROMPTS[s] : at + 1;
            try (Tensor logits =
                decoder.next(List.of(Arrays.copyOfRange(ids, at, end)), List.of(cache))) {
              float[] actual = rows(logits)[0];
              assertEquals(VOCABULARY, actual.length);
              for (int v = 0; v < VOCABULARY; v++) {
                assertTrue(Float.isFinite(actual[v]));
                worst = Math.max(worst, Math.abs(expected[end - 1][v] - actual[v]));
                scale = Math.max(scale, Math.abs(expected[end - 1][v]));
              }
            }
          }
          assertThrows(
              IllegalStateException.class,
              () -> decoder.next(List.of(new int[] {1}), List.of(cache)));
        }
      }
    }
    // as above: sums in another order
    assertEquals(0, worst / scale, compute == DType.FLOAT32 ? 1e-5 : 4 * 0x1p-8);
  }

  @Test
  void keptWeightsChangeNothingAndAreGivenBack() {
    try (CausalLm model = model(false, "", true, DType.FLOAT32);
        LoraAdapter adapter = adapter(model)) {
      int[] ids = sequences().get(1);
      float[][] before = whole(model, ids);
      long open = Tensor.live();
      try (Decoder decoder = new Decoder(model, ALL)) {
        assertTrue(decoder.keptBytes() > 0);
        assertTrue(decoder.description().startsWith("generation keeps the weights in float32"));
        assertArrayEquals(before, whole(model, ids));
      }
      assertEquals(open, Tensor.live());
      float first = adapter.parameters().values().floats().get(0);
      adapter.parameters().values().floats().put(0, first + 1);
      assertTrue(!Arrays.deepEquals(before, whole(model, ids)), "the adapter is read again");
    }
  }

  @Test
  void memoryThatIsShortKeepsPartOfTheWeights() {
    try (CausalLm model = model(false, "", true, DType.FLOAT32)) {
      long one = model.groups().get(0).keptBytes(model.precision());
      try (Decoder decoder = new Decoder(model, one)) {
        assertEquals(one, decoder.keptBytes());
        assertTrue(decoder.description().contains("1 of 8 groups"), decoder.description());
      }
    }
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, 1e-5", "BFLOAT16, 0.015625", "FLOAT16, 0.001953125"})
  void sequencesThatComeInPartsOfAnyLengthHaveTheLogitsOfTheWhole(DType dtype, double most) {
    int[][] parts = {{1, 5, 1, 3}, {7, 1, 1, 2}, {140, 2, 1, 6}, {2, 30, 4, 1}};
    List<int[]> all = new ArrayList<>();
    Random random = new Random(5);
    for (int[] part : parts) {
      all.add(random.ints(Arrays.stream(part).sum(), 0, VOCABULARY).toArray());
    }
    List<KvCache> caches = new ArrayList<>();
    double worst = 0;
    double scale = 0;
    try (CausalLm model = model(true, "", true, dtype);
        LoraAdapter adapter = adapter(model);
        Decoder decoder = new Decoder(model, ALL)) {
      assertEquals(14, adapter.modules().size());
      all.forEach(ids -> caches.add(decoder.cache(ids.length)));
      for (int step = 0; step < 4; step++) {
        List<int[]> due = new ArrayList<>();
        for (int s = 0; s < parts.length; s++) {
          int begin = caches.get(s).length();
          due.add(Arrays.copyOfRange(all.get(s), begin, begin + parts[s][step]));
        }
        try (Tensor logits = decoder.next(due, caches)) {
          float[][] actual = rows(logits);
          for (int s = 0; s < parts.length; s++) {
            float[] expected = whole(model, all.get(s))[caches.get(s).length() - 1];
            for (int v = 0; v < VOCABULARY; v++) {
              worst = Math.max(worst, Math.abs(expected[v] - actual[s][v]));
              scale = Math.max(scale, Math.abs(expected[v]));
            }
          }
        }
      }
    } finally {
      caches.forEach(KvCache::close);
    }
    // float32: sums in another order; bfloat16: four roundings of 2^-8 the other way
    assertTrue(worst <= most * scale, worst + " of " + scale);
  }

  @Test
  void aCacheThatIsFullIsRefused() {
    try (CausalLm model = model(false, "", false, DType.FLOAT32);
        Decoder decoder = new Decoder(model, ALL);
        KvCache cache = decoder.cache(3)) {
      decoder.next(List.of(new int[] {1, 2}), List.of(cache)).close();
      assertThrows(
          IllegalStateException.class,
          () -> decoder.next(List.of(new int[] {1, 2}), List.of(cache)));
      decoder.next(List.of(new int[] {3}), List.of(cache)).close();
      assertThrows(
          IllegalStateException.class, () -> decoder.next(List.of(new int[] {4}), List.of(cache)));
    }
  }

  @ParameterizedTest
  @CsvSource({"3", "5"})
  void adaptersThatChangeAreTakenIn(int rank) {
    try (CausalLm model = model(false, "", true, DType.FLOAT32)) {
      int[] ids = sequences().get(1);
      float[][] base = whole(model, ids);
      try (Decoder decoder = new Decoder(model, ALL);
          LoraAdapter first = adapter(model)) {
        assertThrows(IllegalStateException.class, () -> whole(model, ids), "not taken in yet");
        decoder.adaptersChanged();
        float[][] adapted = whole(model, ids);
        assertTrue(!Arrays.deepEquals(base, adapted));
        try (LoraAdapter second = RandomAdapter.on(model, rank, 9)) {
          decoder.adaptersChanged();
          float[][] other = whole(model, ids);
          assertTrue(!Arrays.deepEquals(adapted, other));
          assertEquals(rank, second.config().r());
        }
        first.attach();
        decoder.adaptersChanged();
        assertArrayEquals(adapted, whole(model, ids));
        first.detach();
        decoder.adaptersChanged();
        assertArrayEquals(base, whole(model, ids));
      }
    }
  }

  @Test
  void aTapeThatRecordsIsRefused() {
    try (CausalLm model = model(false, "", false, DType.FLOAT32);
        LoraAdapter adapter = adapter(model);
        Decoder decoder = new Decoder(model, ALL);
        KvCache cache = decoder.cache(3);
        Tape tape = Tape.recording()) {
      Pass pass = Pass.cached(List.of(cache), 0, 1);
      assertEquals(14, adapter.modules().size());
      assertThrows(
          IllegalStateException.class,
          () -> model.hidden(tape, new int[] {1}, pass, Checkpointing.NONE));
    }
  }
}
