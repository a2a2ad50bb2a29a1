package ai.nibble.golden;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import ai.nibble.Shared;
import ai.nibble.TestDevice;
import ai.nibble.eval.ChoiceTask;
import ai.nibble.eval.FewShot;
import ai.nibble.eval.ModelText;
import ai.nibble.eval.PerplexityTask;
import ai.nibble.eval.Subject;
import ai.nibble.eval.Variant;
import ai.nibble.eval.task.ChoiceFormat;
import ai.nibble.quant.Quant4Config;
import ai.nibble.quant.Quant4Type;
import ai.nibble.tensor.DType;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * A real model's scores are those of transformers and bitsandbytes, window by window and choice by
 * choice. Doubly quantised scales have the nearest code, as bitsandbytes' kernels but one give it;
 * that one, for CPUs, misses it for one scale in 436, which moves the loss by 0.08 and items by up
 * to 0.02 (golden.py).
 */
@Tag("golden")
class GoldenScoresTest {
  private static final int ITEMS = 4;

  @ParameterizedTest
  @ValueSource(strings = {"base", "nf4", "nf4-dq", "fp4"})
  void scoresAreTheReferences(String mode) throws IOException {
    Path gguf =
        Shared.path("models/smollm2-135m-instruct").resolve("SmolLM2-135M-Instruct.Q4_1.gguf");
    Path wikiText = Shared.path("data/wikitext2_test.txt");
    Path hellaSwag = Shared.path("data/hellaswag_val_first1000.txt");
    JsonNode golden =
        new ObjectMapper()
            .readTree(getClass().getResource("/ai/nibble/eval/golden.json"))
            .get(mode);
    Optional<Quant4Config> quantization =
        mode.equals("base")
            ? Optional.empty()
            : Optional.of(
                new Quant4Config(
                    mode.startsWith("nf4") ? Quant4Type.NF4 : Quant4Type.FP4,
                    64,
                    mode.endsWith("-dq")));
    Variant variant =
        new Variant(mode, gguf, quantization, DType.FLOAT32, Optional.empty(), TestDevice.chosen());
    PerplexityTask perplexity = new PerplexityTask("p", wikiText, 1024, 1024, 1);
    ChoiceTask choices =
        new ChoiceTask(
            "h",
            ChoiceFormat.named("hellaswag").orElseThrow().read(hellaSwag),
            FewShot.none(),
            ITEMS);
    List<PerplexityTask.Result> windows = new ArrayList<>();
    List<ChoiceTask.Result> items = new ArrayList<>();
    try (ModelText text = ModelText.load(gguf.getParent(), Optional.empty());
        Subject subject = Subject.load(variant, text, 2048, note -> {})) {
      perplexity.evaluate(subject, 0, perplexity.items(text), windows::addAll);
      choices.evaluate(subject, 0, choices.items(text), items::addAll);
    }
    assertEquals(1023, windows.get(0).tokens());
    // the reference sums 1,023 losses in float32, each step of which rounds by up to 1.2e-4
    assertEquals(golden.get("loss").asDouble(), windows.get(0).loss(), 1e-2);
    for (int i = 0; i < ITEMS; i++) {
      JsonNode expected = golden.get("items").get(i);
      double[] scores = new double[expected.size()];
      for (int c = 0; c < scores.length; c++) {
        scores[c] = expected.get(c).asDouble();
      }
      // sums of about 20 log-likelihoods from logits below 40, rounded over 30 layers
      assertArrayEquals(scores, items.get(i).scores(), 1e-3, "item " + i);
    }
  }
}
