package ai.nibble.model;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

final class RotaryFrequenciesTest {
  /**
   * PyTorch's vectorised power is within one unit in the last place (ulp) of the exact value, ours
   * correctly rounded. One ulp of the power (up to 2^-23 relative) passes through a reciprocal and
   * at most three more roundings, and llama3's ramp multiplies it by the slope of the ramp, at most
   * high / (high - low) of the smooth factor: below 8 ulps in all cases here.
   */
  private static final int MAX_ULPS = 8;

  @TempDir private Path folder;

  /**
   * The file holds what transformers 5.23 computes on a CPU with torch 2.7.1: {@code
   * LlamaRotaryEmbedding(LlamaConfig(**config))}, its {@code inv_freq} as float32 bits.
   */
  @Test
  void frequenciesAndScalingAreThoseOfTransformers() throws IOException {
    Map<String, Integer> checked = new TreeMap<>();
    int values = 0;
    int exact = 0;
    for (String line : golden()) {
      JsonNode golden = new ObjectMapper().readTree(line);
      ModelConfig config = config(golden);
      RotaryFrequencies frequencies = RotaryFrequencies.of(config);
      float[] actual = frequencies.inverseFrequencies();
      assertEquals(golden.get("inv_freq_bits").size(), actual.length, line);
      for (int j = 0; j < actual.length; j++) {
        int expected = Integer.parseUnsignedInt(golden.get("inv_freq_bits").get(j).asText(), 16);
        int ulps = Math.abs(Float.floatToIntBits(actual[j]) - expected);
        assertTrue(ulps <= MAX_ULPS, "pair " + j + " is off by " + ulps + " ulps: " + line);
        values++;
        exact += ulps == 0 ? 1 : 0;
      }
      float scaling = (float) golden.get("attention_scaling").asDouble();
      assertEquals(scaling, frequencies.attentionScaling(), Math.ulp(scaling), line);
      checked.merge(config.ropeScaling().ropeType(), 1, Integer::sum);
    }
    System.out.println(
        "rotary frequencies: " + checked + ", " + exact + " of " + values + " values bit-equal");
    assertEquals(List.of("default", "linear", "llama3", "yarn"), List.copyOf(checked.keySet()));
    assertTrue(exact >= 0.97 * values, exact + " of " + values + " bit-equal");
  }

  @Test
  void whatTheCallerDoesToTheArrayStaysWithTheCaller() {
    RotaryFrequencies frequencies = RotaryFrequencies.of(4, 10_000, new RopeScaling.Default());
    frequencies.inverseFrequencies()[0] = 7;
    assertArrayEquals(new float[] {1f, 0.01f}, frequencies.inverseFrequencies());
  }

  private ModelConfig config(JsonNode golden) throws IOException {
    ObjectNode json = golden.get("config").deepCopy();
    json.put("model_type", "llama");
    Path file = Files.writeString(folder.resolve("config.json"), json.toString());
    return ModelConfig.read(file, notice -> {});
  }

  private static List<String> golden() throws IOException {
    try (BufferedReader reader =
        new BufferedReader(
            new InputStreamReader(
                RotaryFrequenciesTest.class.getResourceAsStream("rope_golden.jsonl"),
                StandardCharsets.UTF_8))) {
      return reader.lines().toList();
    }
  }
}
