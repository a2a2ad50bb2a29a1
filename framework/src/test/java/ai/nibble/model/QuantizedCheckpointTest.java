package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.nn.DenseWeight;
import ai.nibble.nn.GroupedWeight;
import ai.nibble.nn.KvCache;
import ai.nibble.nn.Linear;
import ai.nibble.nn.Pass;
import ai.nibble.nn.Precision;
import ai.nibble.nn.Quant4Weight;
import ai.nibble.nn.Quant8Weight;
import ai.nibble.nn.Weight;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.quant.SafetensorsFixture;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Device;
import ai.nibble.tensor.Tensor;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Checkpoints that are quantised already, made by the scripts in {@code quant/stored}. */
public final class QuantizedCheckpointTest {
  private static final String Q = "model.layers.0.self_attn.q_proj";
  private static final String DOWN = "model.layers.0.mlp.down_proj";

  /** All but LLM.int8(), whose product quantises what it multiplies as well. */
  public static final List<String> BY_VALUES =
      List.of(
          "nf4_double",
          "fp4_skip",
          "nf4_bfloat16_storage",
          "gptq4",
          "gptq4_act_order",
          "gptq4_one_group",
          "gptq8_act_order",
          "gptq3",
          "gptq2",
          "awq",
          "phi3_gptq",
          "phi3_awq",
          "mixtral_gptq",
          "mixtral_awq",
          "qwen3_moe_gptq",
          "qwen3_moe_awq");

  private final List<String> notices = new ArrayList<>();

  /** A checkpoint's directory. */
  public static Path directory(String name) {
    return Shared.root()
        .resolve("framework/src/test/resources/ai/nibble/quant/stored")
        .resolve(name);
  }

  private static SafetensorsFixture golden(String name) throws IOException {
    return new SafetensorsFixture(directory(name).resolve("golden.safetensors"));
  }

  /** Codes, scales and zeros are float32 products of few bits: nothing is rounded. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "nf4_double",
        "fp4_skip",
        "nf4_bfloat16_storage",
        "int8",
        "gptq4",
        "gptq4_act_order",
        "gptq4_one_group",
        "gptq8_act_order",
        "gptq3",
        "gptq2",
        "awq"
      })
  void valuesAreThoseOfTheReference(String name) throws IOException {
    SafetensorsFixture golden = golden(name);
    try (WeightSource source = WeightSource.open(directory(name), notices::add)) {
      for (String module : List.of(Q, DOWN)) {
        boolean plain = name.equals("awq") && module.equals(DOWN);
        String weight = module + ".weight";
        assertEquals(plain, source.quantized(weight).isEmpty());
        float[] expected = golden.floats(module);
        float[] values = new float[expected.length];
        source.read(weight, 0, values, 0, values.length);
        assertEqualValues(expected, values);
        float[] some = new float[203];
        source.read(weight, 1031, some, 3, 200); // within rows, over their ends
        for (int i = 0; i < 200; i++) {
          assertSame(expected[1031 + i], some[3 + i], i);
        }
        assertEquals(plain ? DType.FLOAT16 : DType.FLOAT32, source.dtype(weight));
      }
      assertEquals(List.of(), notices);
    }
  }

  /** Equal as numbers: a zero may have either sign. */
  private static void assertSame(float expected, float actual, int at) {
    assertTrue(expected == actual, "element " + at + " is " + actual + ", expected " + expected);
  }

  private static void assertEqualValues(float[] expected, float[] actual) {
    for (int i = 0; i < expected.length; i++) {
      assertSame(expected[i], actual[i], i);
    }
  }

  /** Fused linears and experts included, which files hold as modules of their own. */
  @ParameterizedTest
  @FieldSource("BY_VALUES")
  void logitsAreThoseOfTheReference(String name) throws IOException {
    float[] expected = golden(name).floats("logits");
    try (CausalLm model = CausalLm.load(directory(name), LoadOptions.unquantized(DType.FLOAT32))) {
      assertEqualLogits(expected, logits(model), 1e-4);
    }
  }

  private static float[] logits(CausalLm model) {
    int[] ids = {1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 3, 7};
    int[] positions = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    try (Tensor logits = model.logits(ids, Pass.evaluating(0, ids.length), positions)) {
      return logits.toFloats();
    }
  }

  private static void assertEqualLogits(float[] expected, float[] actual, double tolerance) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertEquals(expected[i], actual[i], tolerance, "logit " + i);
    }
  }

  /** Token by token, where symmetric groups are read packed and others are kept dequantised. */
  @ParameterizedTest
  @ValueSource(strings = {"nf4_double", "gptq4", "gptq4_act_order", "gptq8_act_order", "awq"})
  void decodingGivesTheSameLogits(String name) throws IOException {
    float[] expected = golden(name).floats("logits");
    int[] ids = {1, 5, 9, 13, 17, 21, 25, 29, 33, 37, 3, 7};
    try (CausalLm model = CausalLm.load(directory(name), LoadOptions.unquantized(DType.FLOAT32));
        Decoder decoder = new Decoder(model, Long.MAX_VALUE);
        KvCache cache = decoder.cache(ids.length)) {
      for (int t = 0; t < ids.length; t++) {
        try (Tensor next = decoder.next(List.of(new int[] {ids[t]}), List.of(cache))) {
          float[] logits = next.toFloats();
          for (int v = 0; v < logits.length; v++) {
            assertEquals(expected[t * logits.length + v], logits[v], 1e-4);
          }
        }
      }
    }
  }

  /** What bitsandbytes stored is what this project quantises the same base to. */
  @Test
  void int8IsComputedAsIfItWereQuantisedHere() {
    try (CausalLm stored =
            CausalLm.load(directory("int8"), LoadOptions.unquantized(DType.FLOAT32));
        CausalLm own =
            CausalLm.load(
                directory("base"),
                new LoadOptions(LoadOptions.int8().quantization(), DType.FLOAT32))) {
      Linear linear = stored.linears().get(Q);
      assertInstanceOf(Quant8Weight.class, linear.weight());
      // embeddings, norms and head went through float16 when they were stored
      assertEqualLogits(logits(own), logits(stored), 5e-3);
    }
  }

  @Test
  void weightsAreHeldAsTheyAreStored() {
    Map<String, Class<? extends Weight>> kinds =
        new TreeMap<>(
            Map.of(
                "nf4_double", Quant4Weight.class,
                "nf4_bfloat16_storage", Quant4Weight.class,
                "int8", Quant8Weight.class,
                "gptq4_act_order", GroupedWeight.class,
                "gptq8_act_order", GroupedWeight.class,
                "awq", GroupedWeight.class));
    kinds.forEach(
        (name, kind) -> {
          try (CausalLm model =
              CausalLm.load(directory(name), LoadOptions.unquantized(DType.FLOAT32))) {
            assertInstanceOf(kind, model.linears().get(Q).weight(), name);
          }
        });
    try (CausalLm model =
        CausalLm.load(directory("fp4_skip"), LoadOptions.unquantized(DType.FLOAT32))) {
      assertInstanceOf(Quant4Weight.class, model.linears().get(Q).weight());
      assertInstanceOf(
          DenseWeight.class, model.linears().get("model.layers.1.mlp.down_proj").weight());
    }
  }

  /** The wish for other codes does not requantise what is quantised; a line says so. */
  @Test
  void theFilesWinOverAWishAndSaySo() {
    Quant4Config fp4 = new Quant4Config(Quant4Type.FP4, 64, false);
    try (WeightSource source = WeightSource.open(directory("gptq4"), notices::add)) {
      assertEquals(Optional.empty(), source.settle(Optional.of(fp4), notices::add));
      assertEquals(
          List.of(
              "the base's weights are quantised already (GPTQ, 4 bits, groups of 32) and used as"
                  + " they are; fp4, blocks of 64 was asked for: not followed"),
          notices);
    }
    float[] expected;
    try (CausalLm model =
        CausalLm.load(directory("gptq4"), LoadOptions.unquantized(DType.FLOAT32))) {
      expected = logits(model);
    }
    try (CausalLm model =
        CausalLm.load(directory("gptq4"), new LoadOptions(Optional.of(fp4), DType.FLOAT32))) {
      assertArrayEquals(expected, logits(model));
    }
    try (WeightSource plain = WeightSource.open(directory("base"), notices::add)) {
      assertEquals(Optional.of(fp4), plain.settle(Optional.of(fp4), notices::add));
    }
  }

  @Test
  void theMemoryPlanCountsWhatIsHeld() {
    for (String name : BY_VALUES) {
      try (WeightSource source = WeightSource.open(directory(name), notices::add);
          CausalLm model = CausalLm.load(directory(name), LoadOptions.unquantized(DType.FLOAT32))) {
        long planned = 0;
        long held = 0;
        for (Linear linear : model.linears().values()) {
          if (source.quantized(linear.path() + ".weight").isPresent()) {
            var matrix = source.quantized(linear.path() + ".weight").get();
            planned += matrix.codeBytes() + matrix.scaleBytes();
            held += linear.weight().bytes();
          }
        }
        // symmetric zeros are all the same, and then not held: a byte for each scale of four
        assertTrue(held <= planned && planned <= 1.05 * held, name + ": " + held + ", " + planned);
        WeightSizes sizes = WeightSizes.of(source, Optional.empty(), Device.Type.CPU);
        assertTrue(sizes.of(WeightSizes.Form.DENSE) > 0);
      }
    }
  }

  /** Half of what is read goes into wider rows, and values are rounded first: both ways agree. */
  @ParameterizedTest
  @ValueSource(strings = {"gptq4", "gptq4_act_order", "gptq4_one_group", "gptq8_act_order", "awq"})
  void groupsAreRoundedLikeAnyWeight(String name) throws IOException {
    float[] values = golden(name).floats(Q);
    Precision precision = new Precision(DType.BFLOAT16, DType.FLOAT32);
    try (CausalLm model = CausalLm.load(directory(name), LoadOptions.unquantized(DType.FLOAT32));
        Tensor wide = Tensor.zeros(DType.FLOAT32, 70, 80);
        Tensor narrow = Tensor.zeros(DType.BFLOAT16, 64, 64)) {
      Weight weight = model.linears().get(Q).weight();
      weight.writeTo(wide, 6, precision);
      weight.writeTo(narrow, 0, new Precision(DType.BFLOAT16, DType.BFLOAT16));
      float[] rows = wide.toFloats();
      float[] own = narrow.toFloats();
      for (int r = 0; r < 64; r++) {
        for (int c = 0; c < 80; c++) {
          float expected = c < 64 ? Bfloat16.round(values[64 * r + c]) : 0;
          assertSame(expected, rows[80 * (r + 6) + c], c);
          if (c < 64) {
            assertSame(expected, own[64 * r + c], c);
          }
        }
      }
    }
  }
}
