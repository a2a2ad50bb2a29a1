package ai.nibble.model;

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
import java.util.List;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class GgufConfigJsonTest {
  @TempDir private Path temp;

  private int files;

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
      specs.add(new GgufTensorSpec(name, GgmlType.F32, List.of(4L)));
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

  /** Of the divisors of the rotary frequencies some; of all else anything. */
  private static void fill(String name, float[] into) {
    for (int i = 0; i < into.length; i++) {
      into[i] = name.equals(GgufHyperparameters.ROPE_FREQS) ? 1 + i : 0;
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
    assertEquals(
        new RopeScaling.Llama3(4, 1, 4, 8192),
        config(header("llama"), GgmlType.F32, GgufHyperparameters.ROPE_FREQS).ropeScaling());
  }

  @Test
  void scalingsWithATypeAreTakenOver() throws IOException {
    GgufHeader linear =
        header("qwen2")
            .put("qwen2.rope.scaling.type", "linear")
            .put("qwen2.rope.scaling.factor", 4f);
    assertEquals(new RopeScaling.Linear(4), config(linear, GgmlType.Q8_0).ropeScaling());
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
    refused(
        header -> header.put("llama.expert_count", 8),
        "metadata 'llama.expert_count': is 8, a mixture of experts");
    refused(
        header -> header.put("llama.rope.dimension_count", 4),
        "metadata 'llama.rope.dimension_count': is 4, expected all of a head, 8");
    refused(
        header -> header.put("llama.rope.scaling.type", "longrope"),
        "metadata 'llama.rope.scaling.type': is 'longrope', expected none, linear or yarn");
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
