package ai.nibble.export.merge;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.lora.AdapterNames;
import ai.nibble.model.TinyModel;
import ai.nibble.tensor.DType;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** Adapters that do not fit the base or each other: each refused by name, nothing written. */
class MergeRefusalTest extends MergeFixture {
  @Test
  void doraGoesAloneAndWithWeightOne() throws IOException {
    TinyAdapter dora = new TinyAdapter(1);
    dora.fields.put("use_dora", "true");
    dora.fields.put("target_modules", "[\"q_proj\"]");
    for (int layer = 0; layer < 2; layer++) {
      dora.module("model.layers." + layer + ".self_attn.q_proj", 24, 12, 2);
      dora.magnitudes("model.layers." + layer + ".self_attn.q_proj", 24);
    }
    Path adapter = dora.write(temp.resolve("dora"));
    String message = refused(base(), weighted(adapter, 0.5)).getMessage();
    assertEquals(
        adapter + ": is a DoRA adapter, whose update is no sum: merge it alone and with weight 1",
        message);
  }

  @Test
  void aMissingTrainedBiasIsNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("bias", "\"lora_only\"");
    String message =
        refused(base(new TinyModel(3, true).scaled(0.3f)), plain(adapter.write(temp.resolve("a"))))
            .getMessage();
    assertTrue(
        message.contains("no tensor for '" + Q + ".bias', which 'bias' of adapter_config.json"),
        message);
  }

  @Test
  void tensorsThatDoNotFitTheBaseAreNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.module(Q, 24, 16, 2);
    adapter.module("model.layers.7.self_attn.q_proj", 24, 12, 2);
    adapter.shapes.remove(AdapterNames.loraB(DOWN));
    adapter.values.remove(AdapterNames.loraB(DOWN));
    Path directory = adapter.write(temp.resolve("a"));
    String file = directory.resolve("adapter_model.safetensors") + ": ";
    assertEquals(
        List.of(
            file
                + "no tensor '"
                + AdapterNames.loraB(DOWN)
                + "', which adapter_config.json asks for on this base",
            file
                + "tensor '"
                + AdapterNames.loraA(Q)
                + "' has the shape [2, 16], expected [2, 12] by the base and the rank in"
                + " adapter_config.json",
            file
                + "tensor 'base_model.model.model.layers.7.self_attn.q_proj.lora_A.weight' fits no"
                + " module of the base that the configuration targets (LORA_A of"
                + " model.layers.7.self_attn.q_proj)",
            file
                + "tensor 'base_model.model.model.layers.7.self_attn.q_proj.lora_B.weight' fits no"
                + " module of the base that the configuration targets (LORA_B of"
                + " model.layers.7.self_attn.q_proj)"),
        refused(base(), plain(directory)).problems());
  }

  @Test
  void theWrongRankIsNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("r", "4");
    String message = refused(base(), plain(adapter.write(temp.resolve("a")))).problems().get(0);
    assertTrue(message.contains("has the shape [2, 12], expected [4, 12]"), message);
  }

  @Test
  void valuesThatAreNotFiniteAreNamed() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.values.get(AdapterNames.loraA(Q))[5] = Float.NaN;
    String message = refused(base(), plain(adapter.write(temp.resolve("a")))).getMessage();
    assertTrue(message.endsWith("lora_A.weight' is not finite at element 5"), message);
  }

  @Test
  void aValueThatTheDtypeCannotHoldIsNamedAndNothingIsLeft() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.values.get(AdapterNames.loraA(Q))[5] = 1e6f;
    Path directory = adapter.write(temp.resolve("a"));
    Path base = base();
    String message =
        assertThrows(
                InvalidInputException.class,
                () ->
                    Merge.run(
                        request(
                            base, Optional.empty(), Optional.of(DType.FLOAT16), plain(directory)),
                        notices::add,
                        line -> {}))
            .getMessage();
    assertTrue(message.startsWith("tensor '" + Q + ".weight' holds "), message);
    assertTrue(message.endsWith("more than float16 can: write another dtype"), message);
    assertFalse(Files.exists(out()));
  }

  @Test
  void adaptersAndBasesThatAreNotThereAreRefused() throws IOException {
    Path base = base();
    Path empty = Files.createDirectories(temp.resolve("empty"));
    assertTrue(refused(base, plain(empty)).getMessage().startsWith(empty + ": no adapter_model"));
    Files.writeString(empty.resolve("adapter_model.bin"), "");
    assertTrue(refused(base, plain(empty)).getMessage().contains("is a pickle"));
    Files.delete(base.resolve("model.safetensors"));
    Files.writeString(
        base.resolve("model.safetensors.index.json"),
        "{\"weight_map\": {\"lm_head.weight\": \"model-00001-of-00002.safetensors\"}}");
    Path adapter = TinyAdapter.plain(1).write(temp.resolve("a"));
    String message = refused(base, plain(adapter)).getMessage();
    assertTrue(message.contains("'model-00001-of-00002.safetensors', which is missing"), message);
  }

  @Test
  void aTensorThatTwoAdaptersReplaceIsRefused() throws IOException {
    TinyAdapter adapter = TinyAdapter.plain(1);
    adapter.fields.put("modules_to_save", "[\"lm_head\"]");
    adapter.add("base_model.model.lm_head.weight", 1, 11, 12);
    Path one = adapter.write(temp.resolve("one"));
    Path two = adapter.write(temp.resolve("two"));
    assertEquals(
        two
            + ": replaces 'lm_head.weight', which another adapter changes too: merge only one of"
            + " them",
        refused(base(), plain(one), plain(two)).getMessage());
    assertTrue(
        refused(base(), weighted(one, 0.5)).getMessage().contains("give it weight 1 instead of"));
  }
}
