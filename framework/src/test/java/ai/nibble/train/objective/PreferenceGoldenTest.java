package ai.nibble.train.objective;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.Shared;
import ai.nibble.autograd.Tape;
import ai.nibble.data.Batch;
import ai.nibble.data.Example;
import ai.nibble.lora.AdapterStore;
import ai.nibble.lora.LoraAdapter;
import ai.nibble.model.CausalLm;
import ai.nibble.model.Checkpointing;
import ai.nibble.model.LoadOptions;
import ai.nibble.model.Mean;
import ai.nibble.nn.Parameter;
import ai.nibble.nn.Pass;
import ai.nibble.tensor.DType;
import ai.nibble.tensor.Tensor;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.FloatBuffer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.OptionalInt;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Losses and gradients of every objective beside those of TRL on a PEFT model, in float32: the
 * values of {@code golden.py}.
 */
@Tag("golden")
class PreferenceGoldenTest {
  private static final int CASES = 33;

  /** Of sums of some ten log-probabilities of −5 to −10, each with a relative error of 1e-6. */
  private static final double TOLERANCE = 3e-5;

  /** Relative to a tensor's norm: the fixtures allow adapters of ten steps five times that. */
  private static final double GRADIENT_TOLERANCE = 2e-4;

  private static JsonNode golden() throws IOException {
    try (InputStream in = PreferenceGoldenTest.class.getResourceAsStream("preferences.json")) {
      return JsonMapper.builder().build().readTree(in);
    }
  }

  @Test
  void lossesRewardsAndGradientsAreThoseOfTrl() throws IOException {
    JsonNode golden = golden();
    int cases = 0;
    try (CausalLm model =
        CausalLm.load(Shared.fixtures("models/llama"), LoadOptions.unquantized(DType.FLOAT32))) {
      for (JsonNode each : golden.get("cases")) {
        Path start = Shared.fixtures("lora/" + each.path("start").asText("llama_plain"));
        try (LoraAdapter adapter = AdapterStore.load(model, start)) {
          check(golden, each, model, adapter);
        }
        cases++;
      }
    }
    assertEquals(CASES, cases);
  }

  /** The base, or the adapter as it begins, from which it has moved since. */
  private static Reference reference(JsonNode each, LoraAdapter adapter) {
    if (!each.has("start")) {
      return Reference.adapterOff(adapter);
    }
    Reference start = Reference.asItWas(adapter.frozen());
    for (Parameter p : adapter.parameters().parameters()) {
      float[] values = p.value().toFloats();
      for (int i = 0; i < values.length; i++) {
        values[i] += 0.01f * (float) Math.sin(i + 1);
      }
      p.value().setFloats(FloatBuffer.wrap(values));
    }
    return start;
  }

  private static void check(JsonNode golden, JsonNode each, CausalLm model, LoraAdapter adapter) {
    String name = each.get("name").asText();
    boolean kto = each.get("method").asText().equals("kto");
    List<Example> rows = kto ? judged(golden.get("rows")) : pairs(golden.get("pairs"));
    Batch batch = Batch.of(rows.subList(0, each.path(kto ? "rows" : "pairs").asInt(rows.size())));
    Objective objective = objective(each, reference(each, adapter));
    adapter.parameters().grads().zero();
    // recorded, and without the adapter's dropout
    Pass pass = Pass.evaluating(batch.sequenceStarts());
    try (Tape tape = Tape.recording()) {
      double rowsOfStep = objective.weight(batch);
      CausalLm.Loss loss = objective.loss(tape, model, batch, pass, rowsOfStep, Checkpointing.NONE);
      tape.backward(loss.value(), Tensor.of(new float[] {1}, 1));
      double expected = each.get("loss").asDouble();
      assertEquals(
          expected, loss.value().value().toFloats()[0], TOLERANCE * Math.max(1, expected), name);
      assertEquals(expected * rowsOfStep, loss.sum(), TOLERANCE * Math.max(1, expected) * 5, name);
      checkMeasures(each, loss.measures());
    }
    checkGradients(name, each.get("gradients"), adapter);
  }

  private static void checkMeasures(JsonNode each, Map<String, Mean> measures) {
    String method = each.get("method").asText();
    int compared = 0;
    for (Map.Entry<String, JsonNode> metric : each.get("metrics").properties()) {
      Mean mean = measures.get(metric.getKey());
      boolean means = method.equals("orpo") || method.equals("simpo");
      if (mean == null || metric.getKey().startsWith("logps") && means) {
        continue; // TRL tells these objectives' means a token, and KTO's margin is of the step
      }
      double expected = metric.getValue().asDouble();
      String what = each.get("name").asText() + ": " + metric.getKey();
      assertEquals(expected, mean.value(), 2 * TOLERANCE * Math.max(1, Math.abs(expected)), what);
      compared++;
    }
    // of a single row that is judged its reward and its log-probability
    int expected = each.path("rows").asInt() == 1 ? 2 : 4;
    assertTrue(compared >= expected, each.get("name").asText() + ": " + measures);
  }

  private static void checkGradients(String name, JsonNode gradients, LoraAdapter adapter) {
    List<Parameter> parameters = adapter.parameters().parameters();
    assertEquals(parameters.size(), gradients.size());
    for (Parameter parameter : parameters) {
      String tensor = parameter.name();
      float[] grad = parameter.grad().toFloats();
      double squares = 0;
      double wave = 0;
      for (int i = 0; i < grad.length; i++) {
        squares += (double) grad[i] * grad[i];
        wave += grad[i] * Math.cos(i + 1);
      }
      double norm = gradients.get(tensor).get(0).asDouble();
      String what = name + ": " + tensor;
      assertTrue(norm > 0, what);
      assertEquals(norm, Math.sqrt(squares), GRADIENT_TOLERANCE * norm, what);
      assertEquals(gradients.get(tensor).get(1).asDouble(), wave, GRADIENT_TOLERANCE * norm, what);
    }
  }

  private static Objective objective(JsonNode c, Reference reference) {
    double beta = c.get("beta").asDouble();
    double smoothing = c.path("label_smoothing").asDouble();
    ChosenEntropy alpha = new ChosenEntropy(c.path("cpo_alpha").asDouble(), false);
    return switch (c.get("method").asText()) {
      case "orpo" -> new OddsRatioPreference(beta, true); // TRL's is of the prompts, too
      case "simpo" -> new SimplePreference(beta, c.get("simpo_gamma").asDouble(), smoothing, alpha);
      case "cpo" -> new ContrastivePreference(beta, smoothing, alpha);
      case "kto" ->
          new KahnemanTversky(
              beta,
              c.get("desirable_weight").asDouble(),
              c.get("undesirable_weight").asDouble(),
              c.get("types").get(0).asText().equals("kto")
                  ? OptionalInt.of(64)
                  : OptionalInt.empty(),
              reference);
      default -> direct(c, reference);
    };
  }

  private static Objective direct(JsonNode c, Reference reference) {
    List<DirectPreference.Weighted> losses = new ArrayList<>();
    double sft = 0;
    for (int i = 0; i < c.get("types").size(); i++) {
      String type = c.get("types").get(i).asText().replace("aot", "sigmoid");
      double weight = c.get("weights").get(i).asDouble();
      if (type.equals("sft")) {
        sft = weight;
      } else {
        losses.add(
            new DirectPreference.Weighted(
                DirectLoss.valueOf(type.toUpperCase(Locale.ROOT)), weight));
      }
    }
    String divergence = c.path("f_divergence_type").asText("reverse_kl");
    return new DirectPreference(
        new DirectPreference.Terms(
            losses,
            new DirectLoss.Constants(
                c.get("beta").asDouble(), c.path("label_smoothing").asDouble()),
            FDivergence.valueOf(divergence.toUpperCase(Locale.ROOT)),
            c.path("f_alpha_divergence_coef").asDouble(FDivergence.ALPHA)),
        reference,
        new ChosenEntropy(sft, false));
  }

  private static List<Example> pairs(JsonNode rows) {
    List<Example> pairs = new ArrayList<>();
    for (JsonNode row : rows) {
      pairs.add(Example.pair(answer(row, "chosen_ids"), answer(row, "rejected_ids")));
    }
    return pairs;
  }

  private static List<Example> judged(JsonNode rows) {
    List<Example> judged = new ArrayList<>();
    for (JsonNode row : rows) {
      judged.add(Example.judged(answer(row, "completion_ids"), row.get("label").asBoolean()));
    }
    return judged;
  }

  private static Example answer(JsonNode row, String column) {
    int[] prompt = ints(row.get("prompt_ids"));
    int[] answer = ints(row.get(column));
    int[] ids = Arrays.copyOf(prompt, prompt.length + answer.length);
    System.arraycopy(answer, 0, ids, prompt.length, answer.length);
    int[] labels = ids.clone();
    Arrays.fill(labels, 0, prompt.length, Example.IGNORED);
    return new Example(ids, labels);
  }

  private static int[] ints(JsonNode list) {
    int[] values = new int[list.size()];
    Arrays.setAll(values, i -> list.get(i).asInt());
    return values;
  }
}
