package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.Shared;
import ai.nibble.model.CausalLm;
import ai.nibble.model.LoadOptions;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.EnumMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What transformers leaves of logits, and what it generates: golden.py beside the values. */
class SamplingGoldenTest {
  private static JsonNode golden() throws IOException {
    try (InputStream in = SamplingGoldenTest.class.getResourceAsStream("golden.json")) {
      return new ObjectMapper().readTree(in);
    }
  }

  private static int[] ints(JsonNode node) {
    return StreamSupport.stream(node.spliterator(), false).mapToInt(JsonNode::asInt).toArray();
  }

  /** As given; off where nothing is, unlike in transformers' own defaults. */
  private static SamplingConfig config(JsonNode settings, double temperature) {
    Map<SamplingKey, Double> values = new EnumMap<>(SamplingKey.class);
    values.put(SamplingKey.TEMPERATURE, temperature);
    values.put(SamplingKey.TOP_K, 0.0);
    settings
        .properties()
        .forEach(
            e ->
                values.put(
                    SamplingKey.valueOf(e.getKey().toUpperCase(Locale.ROOT)),
                    e.getValue().asDouble()));
    return SamplingConfig.of(values, 0);
  }

  @Test
  void theStepsAndTheirOrderLeaveWhatTransformersLeaves() throws IOException {
    JsonNode golden = golden();
    TokenHistory history = new TokenHistory(0, ints(golden.get("prompt")));
    for (int token : ints(golden.get("answer"))) {
      history.add(token);
    }
    int cases = 0;
    for (JsonNode each : golden.get("warped")) {
      String settings = each.get("settings").toString();
      SamplingConfig config = config(each.get("settings"), 1);
      float[] logits = new float[each.get("logits").size()];
      for (int i = 0; i < logits.length; i++) {
        logits[i] = each.get("logits").get(i).floatValue();
      }
      new Penalties(config).apply(logits, history);
      Candidates left = new ConfiguredSampler(config).candidates(logits);
      assertArrayEquals(ints(each.get("kept")), left.ids(), settings);
      double[] probabilities = left.probabilities();
      for (int i = 0; i < probabilities.length; i++) {
        // the reference divides and exponentiates in float32, a few roundings of 6e-8
        double expected = each.get("probabilities").get(i).asDouble();
        assertEquals(expected, probabilities[i], 1e-6 + 1e-5 * expected, settings + " at " + i);
      }
      cases++;
    }
    assertEquals(26, cases);
  }

  @Test
  void transformersTakesTheStepsInOurOrder() throws IOException {
    List<String> order =
        StreamSupport.stream(golden().get("order").spliterator(), false)
            .map(JsonNode::asText)
            .toList();
    assertEquals(
        List.of(
            "RepetitionPenaltyLogitsProcessor",
            "NoRepeatNGramLogitsProcessor",
            "TemperatureLogitsWarper",
            "TopKLogitsWarper",
            "TopPLogitsWarper",
            "MinPLogitsWarper",
            "TypicalLogitsWarper"),
        order);
  }

  @ParameterizedTest
  @ValueSource(strings = {"llama", "llama_plain", "llama_yarn"})
  void greedyTokensAreTransformersWithPenaltiesAndWithout(String name) throws IOException {
    int cases = 0;
    try (CausalLm model =
            CausalLm.load(
                Shared.fixtures("models/" + name), LoadOptions.unquantized(DType.FLOAT32));
        Generator generator = new Generator(model)) {
      List<JsonNode> all =
          StreamSupport.stream(golden().get("greedy").spliterator(), false)
              .filter(each -> each.get("model").asText().equals(name))
              .toList();
      for (JsonNode each : all) {
        int[] expected = ints(each.get("answer"));
        GenerationSettings settings =
            new GenerationSettings(
                expected.length, Set.of(), config(each.get("settings"), 0).sampler());
        int[] prompt = ints(each.get("prompt"));
        List<Completion> twice = generator.complete(List.of(prompt, prompt), settings);
        assertArrayEquals(expected, twice.get(0).tokens(), each.get("settings").toString());
        assertArrayEquals(expected, twice.get(1).tokens(), "in a batch");
        cases++;
      }
      assertEquals(6, cases);
    }
  }
}
