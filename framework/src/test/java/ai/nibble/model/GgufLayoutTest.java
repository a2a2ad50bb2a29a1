package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

final class GgufLayoutTest {
  @TempDir Path folder;

  private ModelConfig llama() {
    return TinyModel.of("llama", 1).config(folder);
  }

  /** As the package gguf of llama.cpp maps them, where a family's names are others than Llama's. */
  @ParameterizedTest
  @CsvSource({
    "gemma2, model.layers.3.input_layernorm.weight, blk.3.attn_norm.weight",
    "gemma2, model.layers.3.post_attention_layernorm.weight, blk.3.post_attention_norm.weight",
    "gemma2, model.layers.3.pre_feedforward_layernorm.weight, blk.3.ffn_norm.weight",
    "gemma2, model.layers.3.post_feedforward_layernorm.weight, blk.3.post_ffw_norm.weight",
    "gemma2, model.layers.3.mlp.gate_proj.weight, blk.3.ffn_gate.weight",
    "gemma3_text, model.layers.3.post_attention_layernorm.weight, blk.3.post_attention_norm.weight",
    "gemma3_text, model.layers.3.self_attn.k_norm.weight, blk.3.attn_k_norm.weight",
    "phi3, model.layers.3.self_attn.qkv_proj.weight, blk.3.attn_qkv.weight",
    "phi3, model.layers.3.mlp.gate_up_proj.weight, blk.3.ffn_up.weight",
    "phi3, model.layers.3.post_attention_layernorm.weight, blk.3.ffn_norm.weight",
    "olmo2, model.layers.3.post_attention_layernorm.weight, blk.3.post_attention_norm.weight",
    "olmo2, model.layers.3.post_feedforward_layernorm.weight, blk.3.post_ffw_norm.weight",
    "olmo2, model.layers.3.self_attn.q_norm.weight, blk.3.attn_q_norm.weight"
  })
  void namesOfAFamilyTranslateBothWays(String modelType, String name, String ggufName) {
    ModelConfig config = TinyModel.of(modelType, 1).config(folder);
    assertEquals(Optional.of(ggufName), GgufLayout.ggufName(config, name));
    assertEquals(Optional.of(name), GgufLayout.huggingFaceName(config, ggufName));
  }

  @ParameterizedTest
  @CsvSource({
    "model.embed_tokens.weight, token_embd.weight",
    "model.norm.weight, output_norm.weight",
    "lm_head.weight, output.weight",
    "model.layers.0.input_layernorm.weight, blk.0.attn_norm.weight",
    "model.layers.31.post_attention_layernorm.weight, blk.31.ffn_norm.weight",
    "model.layers.7.self_attn.q_proj.weight, blk.7.attn_q.weight",
    "model.layers.7.self_attn.k_proj.bias, blk.7.attn_k.bias",
    "model.layers.7.self_attn.v_proj.weight, blk.7.attn_v.weight",
    "model.layers.7.self_attn.o_proj.weight, blk.7.attn_output.weight",
    "model.layers.7.self_attn.q_norm.weight, blk.7.attn_q_norm.weight",
    "model.layers.7.self_attn.k_norm.weight, blk.7.attn_k_norm.weight",
    "model.layers.7.mlp.gate_proj.weight, blk.7.ffn_gate.weight",
    "model.layers.7.mlp.up_proj.weight, blk.7.ffn_up.weight",
    "model.layers.7.mlp.down_proj.bias, blk.7.ffn_down.bias"
  })
  void namesTranslateBothWays(String name, String ggufName) {
    assertEquals(Optional.of(ggufName), GgufLayout.ggufName(llama(), name));
    assertEquals(Optional.of(name), GgufLayout.huggingFaceName(llama(), ggufName));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "",
        ".",
        "weight",
        ".weight",
        "blk..attn_q.weight",
        "blk.0.weight",
        "blk.0.token_embd.weight",
        "attn_q.weight",
        "blk.-1.attn_q.weight",
        "blk.99999999999999999999.attn_q.weight",
        "blk.0.attn_q.weight.weight",
        "blk.0.attn_q",
        "rope_freqs.weight"
      })
  void otherNamesHaveNoCounterpart(String ggufName) {
    assertEquals(Optional.empty(), GgufLayout.huggingFaceName(llama(), ggufName));
  }

  /**
   * The converter's words: view the rows as {@code [heads, 2, headDim / 2]}, swap the last two
   * axes.
   */
  @ParameterizedTest
  @CsvSource({"1, 2", "3, 4", "4, 16", "9, 64", "2, 6"})
  void rowsAreWhereTheConverterPutsThem(int heads, int headDim) {
    int row = 0;
    for (int head = 0; head < heads; head++) {
      for (int j = 0; j < headDim / 2; j++) {
        for (int half = 0; half < 2; half++) {
          long huggingFace = head * headDim + half * (headDim / 2) + j;
          assertEquals(row, GgufLayout.ggufRow(huggingFace, headDim));
          row++;
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama", "mistral", "smollm3"})
  void onlyQueriesAndKeysAreReordered(String modelType) {
    ModelConfig config = TinyModel.of(modelType, 1).config(folder);
    assertTrue(GgufLayout.isPermuted(config, "model.layers.3.self_attn.q_proj.weight"));
    assertTrue(GgufLayout.isPermuted(config, "model.layers.3.self_attn.k_proj.bias"));
    assertFalse(GgufLayout.isPermuted(config, "model.layers.3.self_attn.v_proj.weight"));
    assertFalse(GgufLayout.isPermuted(config, "model.layers.3.self_attn.o_proj.weight"));
    assertFalse(GgufLayout.isPermuted(config, "model.embed_tokens.weight"));
  }

  /** llama.cpp rotates the halves of their heads, as transformers does. */
  @ParameterizedTest
  @ValueSource(strings = {"qwen2", "qwen3", "gemma2", "gemma3_text"})
  void nothingOfOthersIsReordered(String modelType) {
    ModelConfig config = TinyModel.of(modelType, 1).config(folder);
    assertFalse(GgufLayout.isPermuted(config, "model.layers.3.self_attn.q_proj.weight"));
    assertFalse(GgufLayout.isPermuted(config, "model.layers.3.self_attn.k_proj.bias"));
  }
}
