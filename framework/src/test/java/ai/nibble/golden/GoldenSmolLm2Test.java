package ai.nibble.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.Shared;
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
import java.util.Arrays;
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
    int checked = 0;
    try (CausalLm model = CausalLm.load(gguf, new LoadOptions(quantization, DType.FLOAT32));
        SafetensorsFile file = SafetensorsFile.open(values)) {
      for (int p = 0; p < golden.get("prompts").size(); p++) {
        int[] ids = Golden.ints(file, "prompt" + p + "_input_ids");
        float[] expected = Golden.floats(file, "prompt" + p + "_" + mode + "_last_logits");
        assertArrayEquals(expected, Golden.lastLogits(model, ids), 2e-3f, "prompt " + p);
        JsonNode tokens = golden.get("greedy").get(mode).get(p);
        int[] all = Golden.greedy(model, ids, tokens.size());
        for (int t = 0; t < tokens.size(); t++) {
          assertEquals(tokens.get(t).asInt(), all[ids.length + t], "prompt " + p + " token " + t);
        }
        assertArrayEquals(ids, Arrays.copyOf(all, ids.length));
        checked++;
      }
    }
    System.out.printf("golden SmolLM2 %s: %d prompts checked%n", mode, checked);
    assertEquals(golden.get("prompts").size(), checked);
  }
}
