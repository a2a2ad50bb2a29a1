package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.gguf.GgmlType;
import ai.nibble.model.ModelConfig;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.stream.Collectors;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class FileTypeTest {
  @TempDir Path folder;

  private ModelConfig config(int layers, int heads, int keyHeads, boolean tied) throws IOException {
    Path file = folder.resolve("config.json");
    Files.writeString(
        file,
        """
        {"model_type": "llama", "hidden_size": 1024, "intermediate_size": 2048, "vocab_size": 100,
         "num_hidden_layers": %d, "num_attention_heads": %d, "num_key_value_heads": %d,
         "tie_word_embeddings": %s}
        """
            .formatted(layers, heads, keyHeads, tied));
    return ModelConfig.read(file, notice -> {});
  }

  @Test
  void namesAreLlamaCppsInEitherCase() {
    assertEquals(FileType.Q4_K_M, FileType.named("q4_k_m"));
    assertEquals(FileType.Q4_K_M, FileType.named("Q4_K"));
    assertEquals(FileType.Q6_K, FileType.named("Q6_K"));
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> FileType.named("Q9_Z"));
    assertTrue(e.getMessage().startsWith("--type is 'Q9_Z', expected one of F32, F16, BF16"));
  }

  @ParameterizedTest
  @EnumSource
  void vectorsAreAlwaysFloat32(FileType type) throws IOException {
    ModelConfig config = config(4, 8, 8, true);
    assertEquals(GgmlType.F32, type.typeOf("blk.0.attn_norm.weight", 1, 1024, config).type());
    assertEquals(GgmlType.F32, type.typeOf("blk.0.attn_q.bias", 1, 1000, config).type());
  }

  @ParameterizedTest
  @CsvSource({
    "Q4_0, true, token_embd.weight, Q6_K",
    "Q4_0, false, token_embd.weight, Q4_0",
    "Q4_0, false, output.weight, Q6_K",
    "Q8_0, true, token_embd.weight, Q8_0",
    "F16, true, token_embd.weight, F16",
    "Q2_K, false, output.weight, Q6_K"
  })
  void theHeadIsWiderThanTheRest(FileType type, boolean tied, String name, GgmlType expected)
      throws IOException {
    assertEquals(expected, type.typeOf(name, 2, 1024, config(4, 8, 8, tied)).type());
  }

  /** By {@code llama-quant.cpp} for sixteen layers: i < 2, i >= 14, and every third between. */
  @ParameterizedTest
  @CsvSource({
    "Q4_K_M, attn_v, 66446446446446'66'",
    "Q4_K_M, ffn_down, 66446446446446'66'",
    "Q5_K_M, ffn_down, 66556556556556'66'",
    "Q4_K_S, attn_v, 5555444444444444",
    "Q4_K_S, ffn_down, 5544444444444444",
    "Q3_K_M, attn_v, 5544444444444444",
    "Q3_K_M, ffn_down, 5444444444444444",
    "Q3_K_M, attn_output, 4444444444444444",
    "Q3_K_S, attn_v, 3333333333333333",
    "Q3_K_L, ffn_down, 5555555555555555",
    "Q2_K, attn_output, 3333333333333333",
    "Q2_K, attn_q, 2222222222222222",
    "Q4_K_M, attn_q, 4444444444444444"
  })
  void mixturesAreLlamaCpps(FileType type, String tensor, String digits) throws IOException {
    ModelConfig config = config(16, 8, 8, true);
    String seen =
        IntStream.range(0, 16)
            .mapToObj(i -> type.typeOf("blk." + i + "." + tensor + ".weight", 2, 1024, config))
            .map(choice -> choice.type().name().substring(1, 2))
            .collect(Collectors.joining());
    assertEquals(digits.replace("'", ""), seen);
  }

  @Test
  void sharedValuesGetMoreBitsInQ2K() throws IOException {
    ModelConfig few = config(4, 8, 2, true);
    assertEquals(GgmlType.Q4_K, FileType.Q2_K.typeOf("blk.0.attn_v.weight", 2, 1024, few).type());
    ModelConfig many = config(4, 8, 8, true);
    assertEquals(GgmlType.Q3_K, FileType.Q2_K.typeOf("blk.0.attn_v.weight", 2, 1024, many).type());
  }

  @ParameterizedTest
  @CsvSource({
    "Q2_K, 576, Q4_0",
    "Q3_K_S, 576, Q4_0",
    "Q4_K_S, 576, Q5_0",
    "Q5_K_S, 576, Q5_1",
    "Q6_K, 576, Q8_0",
    "Q4_K_S, 100, F16",
    "Q8_0, 100, F16",
    "Q4_1, 100, F16"
  })
  void rowsThatDoNotFitFallBackAsInLlamaCpp(FileType type, long row, GgmlType expected)
      throws IOException {
    FileType.Choice choice = type.typeOf("blk.9.attn_q.weight", 2, row, config(16, 8, 8, true));
    assertEquals(new FileType.Choice(expected, true), choice);
  }
}
