package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.Shared;
import ai.nibble.gguf.GgufFile;
import ai.nibble.gguf.GgufTensor;
import ai.nibble.lora.StoredAdapter;
import ai.nibble.model.GgufLayout;
import ai.nibble.model.WeightSource;
import ai.nibble.safetensors.SafetensorsFile;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LoraExportTest {
  @TempDir Path temp;
  private final List<String> notices = new ArrayList<>();

  private static Path base() {
    return Shared.fixtures("models").resolve("llama");
  }

  private static float[] values(GgufFile file, String name) {
    float[] values = new float[(int) file.tensor(name).elements()];
    file.dequantize(name, 0, values.length, values, 0);
    return values;
  }

  /** What llama.cpp adds to a weight, {@code alpha / rank · B A}, is what PEFT adds. */
  @ParameterizedTest
  @ValueSource(strings = {"llama_plain", "llama_rslora", "llama_rank_pattern", "llama_layers"})
  void llamaCppAddsWhatPeftAdds(String name) {
    Path adapter = Shared.fixtures("lora").resolve(name);
    Path out = temp.resolve("lora.gguf");
    int tensors = LoraExport.write(base(), adapter, FileType.F32, out, notices::add);
    try (GgufFile file = GgufFile.open(out);
        WeightSource source = WeightSource.open(base(), notices::add);
        StoredAdapter stored = StoredAdapter.open(adapter, source)) {
      assertEquals(tensors, file.names().size());
      assertEquals(2 * stored.modules().size(), tensors);
      assertEquals("adapter", file.metadata().getString("general.type"));
      assertEquals("llama", file.metadata().getString("general.architecture"));
      assertEquals("lora", file.metadata().getString("adapter.type"));
      double alpha = file.metadata().getFloat("adapter.lora.alpha");
      for (String path : stored.modules()) {
        String weight = GgufLayout.ggufName(source.config(), path + ".weight").orElseThrow();
        GgufTensor loraB = file.tensor(weight + ".lora_b");
        int r = (int) loraB.rowElements();
        int outs = Math.toIntExact(loraB.shape().get(0));
        float[] a = values(file, weight + ".lora_a");
        float[] b = values(file, weight + ".lora_b");
        assertArrayEquals(stored.right(path), a);
        float[] expected = stored.left(path);
        for (int row = 0; row < outs; row++) {
          boolean permuted = GgufLayout.isPermuted(source.config(), path + ".weight");
          int there = (int) (permuted ? GgufLayout.ggufRow(row, source.config().headDim()) : row);
          for (int k = 0; k < r; k++) {
            double ours = alpha / r * b[there * r + k];
            double peft = stored.scaling(path) * expected[row * r + k];
            // alpha and B are each rounded to float32 once
            assertEquals(peft, ours, Math.abs(peft) * 0x1p-22, path);
          }
        }
      }
    }
    assertEquals(List.of(), notices);
  }

  /**
   * llama.cpp looks up rows of A and multiplies by B as PEFT has it ({@code build_inp_embd}): the
   * two lie the other way round than a linear's.
   */
  @Test
  void embeddingAndHeadOfAnUntiedBaseAreWritten() {
    Path adapter = resource("qwen3_both");
    Path qwen3 = Shared.fixtures("models").resolve("qwen3");
    Path out = temp.resolve("lora.gguf");
    LoraExport.write(qwen3, adapter, FileType.F32, out, notices::add);
    try (GgufFile file = GgufFile.open(out);
        SafetensorsFile peft = SafetensorsFile.open(adapter.resolve("adapter_model.safetensors"))) {
      assertEquals(List.of(288L, 4L), file.tensor("token_embd.weight.lora_a").shape());
      assertEquals(List.of(64L, 4L), file.tensor("token_embd.weight.lora_b").shape());
      float[] a = values(file, "token_embd.weight.lora_a");
      float[] expected = new float[a.length];
      String at = "base_model.model.model.embed_tokens.";
      peft.readFloats(at + "lora_embedding_A", 0, expected, 0, expected.length);
      for (int token = 0; token < 288; token++) {
        for (int k = 0; k < 4; k++) {
          assertEquals(expected[k * 288 + token], a[token * 4 + k]);
        }
      }
      float[] b = values(file, "token_embd.weight.lora_b");
      float[] same = new float[b.length];
      peft.readFloats(at + "lora_embedding_B", 0, same, 0, same.length);
      assertArrayEquals(same, b);
      assertEquals(List.of(4L, 64L), file.tensor("output.weight.lora_a").shape());
    }
    refused(
        resource("llama_embed"),
        FileType.F32,
        temp.resolve("tied.gguf"),
        "embed_tokens or lm_head, which are one tensor in this base's file");
    refused(
        resource("llama_rows"), FileType.F32, temp.resolve("rows.gguf"), "holds rows of tokens");
  }

  private static Path resource(String name) {
    try {
      return Path.of(LoraExportTest.class.getResource("/ai/nibble/golden/tables/" + name).toURI());
    } catch (URISyntaxException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void matricesThatDoNotFitTheBlocksAreHalfPrecision() {
    Path adapter = Shared.fixtures("lora").resolve("llama_plain");
    Path out = temp.resolve("lora.gguf");
    LoraExport.write(base(), adapter, FileType.Q8_0, out, notices::add);
    try (GgufFile file = GgufFile.open(out)) {
      assertEquals("Q8_0", file.tensor("blk.0.attn_q.weight.lora_a").type().name());
      assertEquals("F16", file.tensor("blk.0.attn_q.weight.lora_b").type().name());
    }
    assertEquals(1, notices.size());
    assertTrue(notices.get(0).endsWith("blocks of Q8_0, and are written as F16"), notices.get(0));
  }

  @Test
  void whatAnAdapterFileCannotHoldIsRefused() throws Exception {
    Path lora = Shared.fixtures("lora");
    Path out = temp.resolve("lora.gguf");
    refused(lora.resolve("llama_plain"), FileType.Q4_K_M, out, "expected one of F32, F16, BF16");
    refused(
        lora.resolve("llama_dora"),
        FileType.F32,
        out,
        "llama_dora: is a DoRA adapter, which a GGUF LoRA cannot hold");
    refused(
        lora.resolve("llama_modules_to_save"),
        FileType.F32,
        out,
        "'lm_head.weight', trained whole");
    assertFalse(Files.exists(out));
    Files.writeString(out, "mine");
    refused(lora.resolve("llama_plain"), FileType.F32, out, "exists already, expected a new place");
  }

  private void refused(Path adapter, FileType type, Path out, String expected) {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () -> LoraExport.write(base(), adapter, type, out, notices::add));
    assertTrue(e.getMessage().contains(expected), e.getMessage());
  }
}
