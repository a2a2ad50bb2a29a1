package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.lora.AdapterNames;
import ai.nibble.lora.AdapterNames.Kind;
import ai.nibble.model.TinyModel;
import ai.nibble.model.WeightSource;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.Bfloat16;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What becomes of the weights, on models of a few kilobytes. */
class MergeTest extends MergeFixture {
  @Test
  void adaptersWithWeightsAreSummedExactly() throws IOException {
    Path base = base();
    TinyAdapter one = TinyAdapter.plain(1);
    TinyAdapter two = new TinyAdapter(2);
    two.fields.put("target_modules", "[\"q_proj\"]");
    two.fields.put("r", "3");
    two.fields.put("use_rslora", "true");
    two.module("model.layers.0.self_attn.q_proj", 24, 12, 3);
    two.module(Q, 24, 12, 3);
    MergeReport report =
        merge(
            base,
            weighted(one.write(temp.resolve("one")), 0.5),
            weighted(two.write(temp.resolve("two")), -2));
    assertTrue(report.proof().holds());
    assertEquals(4, report.changedTensors());
    assertEquals(DType.FLOAT32, report.dtype());
    double[] w = doubles(values(base, Q + ".weight"));
    double[] expected = plus(plus(w, one, Q, 0.5 * 4 / 2), two, Q, -2 * 4 / Math.sqrt(3));
    assertNear(expected, values(out(), Q + ".weight"));
    double[] down = doubles(values(base, DOWN + ".weight"));
    assertNear(plus(down, one, DOWN, 0.5 * 4 / 2), values(out(), DOWN + ".weight"));
    assertArrayEquals(values(base, EMBEDDING), values(out(), EMBEDDING));
  }

  @Test
  void doraScalesEachRowToItsMagnitude() throws IOException {
    Path base = base();
    TinyAdapter dora = TinyAdapter.plain(1);
    dora.fields.put("use_dora", "true");
    for (int layer = 0; layer < 2; layer++) {
      dora.magnitudes("model.layers." + layer + ".self_attn.q_proj", 24);
      dora.magnitudes("model.layers." + layer + ".mlp.down_proj", 12);
    }
    Path adapter = dora.write(temp.resolve("dora"));
    assertTrue(merge(base, plain(adapter)).proof().holds());
    double[] expected = plus(doubles(values(base, Q + ".weight")), dora, Q, 2);
    float[] m = dora.values.get(AdapterNames.name(Q, Kind.LORA_MAGNITUDE_VECTOR));
    for (int row = 0; row < 24; row++) {
      double norm = 0;
      for (int c = 0; c < 12; c++) {
        norm += expected[row * 12 + c] * expected[row * 12 + c];
      }
      for (int c = 0; c < 12; c++) {
        expected[row * 12 + c] *= m[row] / Math.sqrt(norm);
      }
    }
    assertNear(expected, values(out(), Q + ".weight"));
  }

  @Test
  void aTrainedHeadOfATiedModelIsWrittenAndTheConfigurationSaysSo() throws IOException {
    TinyModel tied = new TinyModel(3, false).scaled(0.3f);
    tied.remove(HEAD);
    Path base = base(tied, "tie_word_embeddings", "true", "quirk", "1.50");
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("modules_to_save", "[\"lm_head\"]");
    adapter.add("base_model.model.lm_head.weight", 1, 11, 12);
    assertTrue(merge(base, plain(adapter.write(temp.resolve("a")))).proof().holds());
    assertArrayEquals(adapter.values.get("base_model.model.lm_head.weight"), values(out(), HEAD));
    assertArrayEquals(values(base, EMBEDDING), values(out(), EMBEDDING));
    JsonNode config = new ObjectMapper().readTree(out().resolve("config.json").toFile());
    assertFalse(config.get("tie_word_embeddings").asBoolean());
    assertTrue(Files.readString(out().resolve("config.json")).contains("\"quirk\" : 1.50"));
  }

  @Test
  void aTrainedEmbeddingOfATiedModelLeavesTheHeadAsItWas() throws IOException {
    TinyModel tied = new TinyModel(3, false).scaled(0.3f);
    tied.remove(HEAD);
    Path base = base(tied, "tie_word_embeddings", "true");
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("modules_to_save", "[\"embed_tokens\"]");
    adapter.add("base_model.model.model.embed_tokens.weight", 1, 11, 12);
    assertTrue(merge(base, plain(adapter.write(temp.resolve("a")))).proof().holds());
    assertArrayEquals(values(base, EMBEDDING), values(out(), HEAD));
    assertArrayEquals(
        adapter.values.get("base_model.model.model.embed_tokens.weight"), values(out(), EMBEDDING));
  }

  @Test
  void trainedBiasesReplaceTheBasesAndThoseOfBAreAdded() throws IOException {
    Path base = base(new TinyModel(3, true).scaled(0.3f));
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("bias", "\"lora_only\"");
    adapter.fields.put("lora_bias", "true");
    for (int layer = 0; layer < 2; layer++) {
      String q = "model.layers." + layer + ".self_attn.q_proj";
      String down = "model.layers." + layer + ".mlp.down_proj";
      adapter.add(AdapterNames.name(q, Kind.BASE_LAYER_BIAS), 1, 24);
      adapter.add(AdapterNames.name(q, Kind.LORA_B_BIAS), 1, 24);
      adapter.add(AdapterNames.name(down, Kind.BIAS), 1, 12);
      adapter.add(AdapterNames.name(down, Kind.LORA_B_BIAS), 1, 12);
    }
    assertTrue(merge(base, plain(adapter.write(temp.resolve("a")))).proof().holds());
    float[] trained = adapter.values.get(AdapterNames.name(Q, Kind.BASE_LAYER_BIAS));
    float[] added = adapter.values.get(AdapterNames.name(Q, Kind.LORA_B_BIAS));
    double[] expected = new double[24];
    Arrays.setAll(expected, i -> trained[i] + 2.0 * added[i]);
    assertNear(expected, values(out(), Q + ".bias"));
    String k = "model.layers.1.self_attn.k_proj.bias";
    assertArrayEquals(values(base, k), values(out(), k));
  }

  @Test
  void fourBitWeightsAreThoseThatWereTrainedOn() throws IOException {
    Path base = base();
    Quant4Config nf4 = new Quant4Config(Quant4Type.NF4, 64, true);
    TinyAdapter adapter = TinyAdapter.plain(1);
    Path directory = adapter.write(temp.resolve("a"));
    MergeReport report =
        Merge.run(
            request(base, Optional.of(nf4), Optional.of(DType.FLOAT32), plain(directory)),
            notices::add,
            line -> {});
    assertTrue(report.proof().holds());
    String k = "model.layers.1.self_attn.k_proj.weight";
    try (WeightSource source = WeightSource.open(base, notices::add);
        HeldWeights held = new HeldWeights(source, Optional.of(nf4))) {
      float[] quantized = values(held, Q + ".weight");
      assertNear(plus(doubles(quantized), adapter, Q, 2), values(out(), Q + ".weight"));
      assertArrayEquals(values(held, k), values(out(), k));
      assertArrayEquals(values(source, HEAD), values(out(), HEAD));
      assertTrue(Arrays.mismatch(values(source, k), values(held, k)) >= 0);
    }
  }

  @Test
  void halfPrecisionOutputIsTheRoundedSum() throws IOException {
    Path base = base();
    TinyAdapter adapter = TinyAdapter.plain(1);
    Path directory = adapter.write(temp.resolve("a"));
    MergeReport report =
        Merge.run(
            request(base, Optional.empty(), Optional.of(DType.BFLOAT16), plain(directory)),
            notices::add,
            line -> {});
    assertTrue(report.proof().holds(), report.proof().toString());
    assertTrue(report.proof().difference().max() > 0);
    double[] exact = plus(doubles(values(base, Q + ".weight")), adapter, Q, 2);
    float[] written = values(out(), Q + ".weight");
    for (int i = 0; i < written.length; i++) {
      // half a unit in the last place of 8 binary digits, and float32's own roundings
      assertEquals(exact[i], written[i], Math.abs(exact[i]) * 0x1.01p-8, "element " + i);
      assertEquals(written[i], Bfloat16.round(written[i]));
    }
    JsonNode config = new ObjectMapper().readTree(out().resolve("config.json").toFile());
    assertEquals("bfloat16", config.get("torch_dtype").asText());
  }
}
