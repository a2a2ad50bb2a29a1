package ai.nibble.golden;

import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.Shared;
import ai.nibble.TestDevice;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.safetensors.SafetensorsFile;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A real model from its GGUF file gives the reference's logits and tokens. */
@Tag("golden")
class GoldenSmolLm2Test {
  @ParameterizedTest
  @ValueSource(strings = {"fp32", "nf4"})
  void smolLm2GivesTheReferencesLogitsAndTokens(String mode) throws IOException {
    Path gguf =
        Shared.path("models/smollm2-135m-instruct").resolve("SmolLM2-135M-Instruct.Q4_1.gguf");
    Path values = Shared.fixtures("smollm2_golden.safetensors");
    JsonNode golden =
        new ObjectMapper().readTree(values.resolveSibling("smollm2_golden.json").toFile());
    Optional<Quant4Config> quantization =
        mode.equals("nf4")
            ? Optional.of(new Quant4Config(Quant4Type.NF4, 64, false))
            : Optional.empty();
    boolean anew = mode.equals("nf4") && Contradicted.reason(values).isPresent();
    boolean full = Boolean.getBoolean("nibble.golden.full");
    int prompts = 0;
    int tokens = 0;
    LoadOptions options = new LoadOptions(quantization, DType.FLOAT32).on(TestDevice.chosen());
    try (CausalLm model = CausalLm.load(gguf, options);
        SafetensorsFile file = SafetensorsFile.open(values)) {
      for (int p = 0; p < golden.get("prompts").size(); p++) {
        int[] ids = Golden.ints(file, "prompt" + p + "_input_ids");
        String name = "prompt" + p + "_" + mode + "_last_logits";
        float[] shipped = Golden.floats(file, name);
        float[] logits = Golden.lastLogits(model, ids);
        float[] expected = anew ? Contradicted.floats("smollm2_nf4.safetensors", name) : shipped;
        // the references made anew keep every 24th logit
        int stride = shipped.length / expected.length;
        for (int i = 0; i < expected.length; i++) {
          assertEquals(expected[i], logits[i * stride], 2e-3, "prompt " + p + " logit " + i);
        }
        prompts++;
        JsonNode greedy = golden.get("greedy").get(mode).get(p);
        if (anew || greedy.get(0).asInt() != Golden.argmax(shipped)) {
          System.out.printf(
              "golden SmolLM2 %s: the tokens of prompt %d are not counted: %s%n",
              mode, p, anew ? "made by another kernel" : "the shipped logits contradict them");
          continue;
        }
        int count = full ? greedy.size() : 6;
        int[] all = Golden.generated(model, ids, count);
        for (int t = 0; t < count; t++) {
          assertEquals(greedy.get(t).asInt(), all[ids.length + t], "prompt " + p + " token " + t);
          tokens++;
        }
      }
    }
    System.out.printf(
        "golden SmolLM2 %s: %d prompts checked%s, %d tokens%n",
        mode, prompts, anew ? " against values made anew" : "", tokens);
    assertEquals(golden.get("prompts").size(), prompts);
  }
}
