package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgmlType;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufHeader;
import ai.nibble.gguf.GgufTensorSpec;
import ai.nibble.gguf.GgufWriter;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class GgufConfigJsonTest {
  @TempDir private Path temp;

  /** Of heads of 8. */
  private static final float[] SHORT = {1, 1.1f, 1.25f, 2};

  private static final float[] LONG = {1.5f, 2, 4, 16.5f};

  private int files;
  private float[] divisors = {1, 1, 1, 1};

  /** A model of 2 layers, 4 heads of 8 over 2, 6 tokens. */
  private static GgufHeader header(String architecture) {
    return new GgufHeader()
        .put("general.architecture", architecture)
        .put(architecture + ".block_count", 2)
        .put(architecture + ".context_length", 256)
        .put(architecture + ".embedding_length", 32)
        .put(architecture + ".feed_forward_length", 64)
        .put(architecture + ".attention.head_count", 4)
        .put(architecture + ".attention.head_count_kv", 2)
        .put(architecture + ".attention.layer_norm_rms_epsilon", 1e-5f)
        .put(architecture + ".rope.freq_base", 500_000f)
        .put("tokenizer.ggml.model", "gpt2")
        .put("tokenizer.ggml.pre", "gpt-2")
        .putStrings("tokenizer.ggml.tokens", List.of("<e>", "a", "b", "ab"))
        .putInts("tokenizer.ggml.token_type", new int[] {3, 1, 1, 1})
        .putStrings("tokenizer.ggml.merges", List.of("a b"))
        .put("tokenizer.ggml.eos_token_id", 0);
  }

  private Path write(GgufHeader header, GgmlType type, String... more) {
    List<GgufTensorSpec> specs = new ArrayList<>();
    specs.add(new GgufTensorSpec("token_embd.weight", type, List.of(6L, 32L)));
    for (String name : more) {
      specs.add(new GgufTensorSpec(name, GgmlType.F32, List.of((long) length(name))));
    }
    Path file = temp.resolve(files++ + ".gguf");
    try (GgufWriter writer = GgufWriter.create(file, header, specs)) {
      for (GgufTensorSpec spec : specs) {
        writer.write(spec.name(), (row, into) -> fill(spec.name(), into));
      }
      writer.commit();
    }
    return file;
  }

  private int length(String name) {
    return name.equals(GgufHyperparameters.ROPE_FREQS) ? divisors.length : SHORT.length;
  }

  /** Of the divisors of the rotary frequencies those that are set; of all else anything. */
  private void fill(String name, float[] into) {
    Arrays.fill(into, 0);
    switch (name) {
      case GgufHyperparameters.ROPE_FREQS -> System.arraycopy(divisors, 0, into, 0, into.length);
      case "rope_factors_short.weight" -> System.arraycopy(SHORT, 0, into, 0, into.length);
      case "rope_factors_long.weight" -> System.arraycopy(LONG, 0, into, 0, into.length);
      default -> {}
    }
  }

  private ModelConfig config(GgufHeader header, GgmlType type, String... more) throws IOException {
    try (GgufFile file = GgufFile.open(write(header, type, more))) {
      Path json = temp.resolve("config.json");
      Files.writeString(json, new GgufConfigJson(file).config().toString());
      return ModelConfig.read(json, notice -> {});
    }
  }

  @Test
  void whatTheMetadataSaysIsTheConfiguration() throws IOException {
    ModelConfig llama = config(header("llama"), GgmlType.Q8_0);
    assertEquals("llama", llama.architecture().modelType());
    assertEquals(6, llama.vocabSize());
    assertEquals(2, llama.numHiddenLayers());
    assertEquals(8, llama.headDim());
    assertEquals(2, llama.numKeyValueHeads());
    assertEquals(1e-5, llama.rmsNormEps());
    assertEquals(500_000, llama.ropeTheta());
    assertEquals(256, llama.maxPositionEmbeddings());
    assertEquals(List.of(0), llama.eosTokenIds());
    assertTrue(llama.bosTokenId().isEmpty());
    assertTrue(llama.tieWordEmbeddings());
    assertEquals(DType.BFLOAT16, llama.dtype());
    assertFalse(llama.form().projections().attentionBias());
  }

  @Test
  void whatTheTensorsSayIsToo() throws IOException {
    ModelConfig config =
        config(header("llama"), GgmlType.F32, "output.weight", "blk.0.attn_q.bias");
    assertFalse(config.tieWordEmbeddings());
    assertEquals(DType.FLOAT32, config.dtype());
    assertEquals(DType.FLOAT16, config(header("llama"), GgmlType.F16).dtype());
    assertTrue(config.form().projections().attentionBias());
  }

  /** The length is what the divisors between 1 and the factor imply. */
  @ParameterizedTest
  @CsvSource({"8, 8, 8192", "8, 8, 4096", "64, 32, 8192", "128, 8, 8192", "64, 4.5, 1000"})
  void divisorsOfFrequenciesAreLlama3sScaling(int headDim, double factor, int length)
      throws IOException {
    RopeScaling scaling = new RopeScaling.Llama3(factor, 1, 4, length);
    divisors = RotaryFrequencies.divisors(headDim, 500_000, scaling);
    GgufHeader header = header("llama").put("llama.attention.key_length", headDim);
    assertEquals(
        scaling, config(header, GgmlType.F32, GgufHyperparameters.ROPE_FREQS).ropeScaling());
  }

  /** None of the four wavelengths lies where the length would tell. */
  @Test
  void aLengthThatDivisorsDoNotTellGivesTheSameDivisors() throws IOException {
    divisors = RotaryFrequencies.divisors(8, 500_000, new RopeScaling.Llama3(4.5, 1, 4, 1000));
    RopeScaling seen =
        config(header("llama"), GgmlType.F32, GgufHyperparameters.ROPE_FREQS).ropeScaling();
    assertArrayEquals(divisors, RotaryFrequencies.divisors(8, 500_000, seen));
  }

  @Test
  void divisorsThatAreAllOneScaleNothing() throws IOException {
    assertEquals(
        new RopeScaling.Default(),
        config(header("llama"), GgmlType.F32, GgufHyperparameters.ROPE_FREQS).ropeScaling());
  }

  @ParameterizedTest
  @CsvSource({"2, 1, 1, 1", "1, 2, 3, 4", "0, 1, 8, 8", "1, 3, 1, 8", "-1, 1, 8, 8"})
  void otherDivisorsAreRefused(float a, float b, float c, float d) {
    divisors = new float[] {a, b, c, d};
    Path file = write(header("llama"), GgmlType.F32, GgufHyperparameters.ROPE_FREQS);
    String message =
        assertThrows(InvalidInputException.class, () -> WeightSource.directory(file)).getMessage();
    assertTrue(message.startsWith(file + ": tensor 'rope_freqs.weight' holds divisors"), message);
  }

  @Test
  void scalingsWithATypeAreTakenOver() throws IOException {
    GgufHeader linear =
        header("qwen2")
            .put("qwen2.rope.scaling.type", "linear")
            .put("qwen2.rope.scaling.factor", 4f);
    assertEquals(new RopeScaling.Linear(4), config(linear, GgmlType.Q8_0).ropeScaling());
    GgufHeader untyped = header("qwen2").put("qwen2.rope.scaling.factor", 4f);
    assertEquals(new RopeScaling.Linear(4), config(untyped, GgmlType.Q8_0).ropeScaling());
    GgufHeader old = header("llama").put("llama.rope.scale_linear", 2f);
    assertEquals(new RopeScaling.Linear(2), config(old, GgmlType.Q8_0).ropeScaling());
    GgufHeader yarn =
        header("qwen3")
            .put("qwen3.attention.key_length", 16)
            .put("qwen3.rope.scaling.type", "yarn")
            .put("qwen3.rope.scaling.factor", 2f)
            .put("qwen3.rope.scaling.original_context_length", 128);
    ModelConfig config = config(yarn, GgmlType.Q8_0);
    assertEquals(16, config.headDim());
    RopeScaling.Yarn scaling = (RopeScaling.Yarn) config.ropeScaling();
    assertEquals(2, scaling.factor());
    assertEquals(128, scaling.originalMaxPositionEmbeddings());
    assertEquals(32, scaling.betaFast());
    yarn.put("qwen3.rope.scaling.yarn_beta_fast", 16f);
    assertEquals(16, ((RopeScaling.Yarn) config(yarn, GgmlType.Q8_0).ropeScaling()).betaFast());
  }

  /** llama.cpp's converter writes no type. */
  @Test
  void factorsOfShortAndLongTextsAreLongRope() throws IOException {
    GgufHeader phi =
        header("phi3")
            .put("phi3.rope.scaling.original_context_length", 64)
            .put("phi3.rope.scaling.attn_factor", 1.25f);
    ModelConfig config =
        config(phi, GgmlType.Q8_0, "rope_factors_short.weight", "rope_factors_long.weight");
    assertEquals(
        new RopeScaling.LongRope(
            List.of(1.0, 1.1, 1.25, 2.0), List.of(1.5, 2.0, 4.0, 16.5), 1.25, 64),
        config.ropeScaling());
    assertEquals("phi3", config.architecture().modelType());
  }

  @Test
  void aHeadThatIsRotatedInPartSaysHowMuch() throws IOException {
    GgufHeader phi = header("phi3").put("phi3.rope.dimension_count", 6);
    assertEquals(6, config(phi, GgmlType.Q8_0).rotaryDim());
  }

  @ParameterizedTest
  @CsvSource({"0, 0, llama", "8, 0, mistral", "0, 4, mixtral", "8, 4, mixtral"})
  void whatLlamaCppCallsLlamaIsToldByWindowAndExperts(int window, int experts, String modelType)
      throws IOException {
    GgufHeader header =
        header("llama")
            .put("llama.attention.sliding_window", window)
            .put("llama.expert_count", experts)
            .put("llama.expert_used_count", Math.min(experts, 2));
    ModelConfig config = config(header, GgmlType.Q8_0);
    assertEquals(modelType, config.architecture().modelType());
    assertEquals(
        window == 0 ? OptionalInt.empty() : OptionalInt.of(window), config.form().slidingWindow());
    assertEquals(experts, config.form().experts().map(e -> e.count()).orElse(0));
  }

  /** What llama.cpp takes for granted where a file is silent. */
  @Test
  void gemmaHasTheWindowsAndCapsOfItsFamily() throws IOException {
    DecoderForm silent = config(header("gemma2"), GgmlType.Q8_0).form();
    assertEquals(OptionalInt.of(4096), silent.layers().get(0).slidingWindow());
    assertEquals(OptionalInt.empty(), silent.layers().get(1).slidingWindow());
    assertEquals(OptionalDouble.of(50), silent.scales().scoreCap());
    assertEquals(OptionalDouble.of(30), silent.scales().logitCap());
    assertEquals(OptionalDouble.of(1 / Math.sqrt(8)), silent.scales().attention());
    GgufHeader says =
        header("gemma2")
            .put("gemma2.attention.sliding_window", 16)
            .putFlags("gemma2.attention.sliding_window_pattern", List.of(false, true))
            .put("gemma2.attn_logit_softcapping", 7f)
            .put("gemma2.final_logit_softcapping", 2.5f);
    DecoderForm said = config(says, GgmlType.Q8_0).form();
    assertEquals(OptionalInt.empty(), said.layers().get(0).slidingWindow());
    assertEquals(OptionalInt.of(16), said.layers().get(1).slidingWindow());
    assertEquals(OptionalDouble.of(7), said.scales().scoreCap());
    assertEquals(OptionalDouble.of(2.5), said.scales().logitCap());
  }

  @Test
  void gemma3RotatesLayersThatSlideByABaseOfTheirOwn() throws IOException {
    ModelConfig silent = config(header("gemma3"), GgmlType.Q8_0);
    assertEquals(OptionalInt.empty(), silent.form().slidingWindow()); // as llama.cpp has it
    assertEquals(10_000, silent.form().slidingRope().orElseThrow().theta());
    GgufHeader says =
        header("gemma3")
            .put("gemma3.attention.sliding_window", 16)
            .put("gemma3.attention.sliding_window_pattern", 2)
            .put("gemma3.rope.freq_base_swa", 30_000f)
            .put("gemma3.rope.scaling.type", "linear")
            .put("gemma3.rope.scaling.factor", 8f);
    ModelConfig said = config(says, GgmlType.Q8_0);
    assertEquals(OptionalInt.of(16), said.form().layers().get(0).slidingWindow());
    assertEquals(OptionalInt.empty(), said.form().layers().get(1).slidingWindow());
    assertEquals(30_000, said.form().slidingRope().orElseThrow().theta());
    assertEquals(new RopeScaling.Default(), said.form().slidingRope().orElseThrow().scaling());
    assertEquals(new RopeScaling.Linear(8), said.ropeScaling());
  }

  /** Of Gemma's largest models alone scores are not scaled by the width of a head. */
  @ParameterizedTest
  @CsvSource({"gemma2, 46", "gemma3, 62"})
  void theLargestGemmasScaleScoresByHiddenSizeAndHeads(String architecture, int layers)
      throws IOException {
    GgufHeader header =
        header(architecture)
            .put(architecture + ".block_count", layers)
            .put(architecture + ".attention.key_length", 16);
    DecoderForm form = config(header, GgmlType.Q8_0).form();
    assertEquals(OptionalDouble.of(1 / Math.sqrt(32 / 4)), form.scales().attention());
  }

  @Test
  void routersInFloat32DoNotHideTheTypeOfTheMatrices() throws IOException {
    GgufHeader header =
        header("qwen3moe")
            .put("qwen3moe.expert_count", 4)
            .put("qwen3moe.expert_used_count", 2)
            .put("qwen3moe.expert_feed_forward_length", 24);
    List<GgufTensorSpec> specs =
        List.of(
            new GgufTensorSpec("token_embd.weight", GgmlType.F16, List.of(6L, 32L)),
            new GgufTensorSpec("blk.0.ffn_gate_inp.weight", GgmlType.F32, List.of(4L, 32L)));
    Path file = temp.resolve("experts.gguf");
    try (GgufWriter writer = GgufWriter.create(file, header, specs)) {
      for (GgufTensorSpec spec : specs) {
        writer.write(spec.name(), (row, into) -> Arrays.fill(into, 0));
      }
      writer.commit();
    }
    ModelConfig config = ModelConfig.read(WeightSource.directory(file).resolve("config.json"));
    assertEquals(DType.FLOAT16, config.dtype());
    assertEquals(24, config.form().experts().orElseThrow().intermediateSize());
    assertTrue(config.form().experts().orElseThrow().sumToOne());
  }

  @Test
  void allTokensThatEndATextAreNamed() {
    GgufHeader header =
        header("llama").put("tokenizer.ggml.eot_token_id", 3).put("tokenizer.ggml.eom_token_id", 0);
    try (GgufFile file = GgufFile.open(write(header, GgmlType.F32))) {
      ObjectNode json = new GgufConfigJson(file).generation();
      assertEquals("[0,3]", json.get("eos_token_id").toString());
    }
  }

  private void refused(Consumer<GgufHeader> change, String... inMessage) {
    GgufHeader header = header("llama");
    change.accept(header);
    Path file = write(header, GgmlType.F32);
    String message =
        assertThrows(InvalidInputException.class, () -> WeightSource.directory(file)).getMessage();
    assertTrue(message.startsWith(file + ": "), message);
    assertFalse(message.contains("\n"), message);
    for (String part : inMessage) {
      assertTrue(message.contains(part), message);
    }
  }

  @Test
  void whatIsNotSupportedIsNamedWithTheFile() {
    refused(
        header -> header.put("general.architecture", "mamba"),
        "metadata 'general.architecture': is 'mamba', expected one of [llama, ");
    refused(header -> header.put("llama.expert_count", 8), "no metadata 'llama.expert_used_count'");
    refused(
        header ->
            header
                .put("llama.rope.scaling.type", "yarn")
                .put("llama.rope.scaling.factor", 2f)
                .put("llama.rope.scaling.attn_factor", 2f),
        "metadata 'llama.rope.scaling.attn_factor': is 2.0, expected 1");
    for (String key :
        List.of("rope.freq_base", "attention.layer_norm_rms_epsilon", "rope.scaling.factor")) {
      for (float value : new float[] {Float.NaN, Float.POSITIVE_INFINITY}) {
        refused(
            header -> header.put("llama." + key, value),
            "metadata 'llama." + key + "': is " + value + ", expected a finite number");
      }
    }
    refused(
        header -> header.putInts("llama.attention.head_count", new int[] {4, 4}),
        "metadata 'llama.attention.head_count': is an array of 2 INT32, expected an integer");
    refused(
        header -> header.put("llama.rope.dimension_count", 4),
        "metadata 'llama.rope.dimension_count': is 4, expected all of a head, 8");
    refused(
        header -> header.put("llama.rope.scaling.type", "longrope"),
        "metadata 'llama.rope.scaling.type': is 'longrope', which is read of the architecture 'phi3'"
            + " alone");
    refused(
        header -> header.put("llama.rope.scaling.type", "ntk"),
        "metadata 'llama.rope.scaling.type': is 'ntk', expected none, linear, yarn or longrope");
    refused(
        header ->
            header
                .putStrings("tokenizer.ggml.tokens", List.of("<e>", "a", "b", "ab", "c", "d", "e"))
                .putInts("tokenizer.ggml.token_type", new int[] {3, 1, 1, 1, 1, 1, 1}),
        "metadata 'tokenizer.ggml.tokens': has 7 elements, expected at most as many as tensor"
            + " 'token_embd.weight' has rows, its shape is [6, 32]");
    refused(
        header -> header.put("llama.attention.head_count", 0),
        "metadata 'llama.attention.head_count': is 0, expected 1 to 2147483647");
    refused(
        header -> header.putInts("llama.attention.head_count_kv", new int[] {2, 2}),
        "metadata 'llama.attention.head_count_kv': is an array of 2 INT32, expected an integer");
    refused(
        header -> header.put("tokenizer.ggml.pre", "sophia"),
        "metadata 'tokenizer.ggml.pre': is 'sophia'");
  }

  @Test
  void aFileThatSaysNothingOfItsModelIsRefused() {
    Path file = write(new GgufHeader().put("general.architecture", "llama"), GgmlType.F32);
    String message =
        assertThrows(InvalidInputException.class, () -> WeightSource.directory(file)).getMessage();
    assertTrue(message.contains("has no tokenizer in itself"), message);
  }
}
