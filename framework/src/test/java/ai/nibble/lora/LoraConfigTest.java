package ai.nibble.lora;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import ai.nibble.InvalidInputException;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class LoraConfigTest {
  private static LoraConfig withPatterns(boolean rslora) {
    return new LoraConfig(
        8,
        16,
        0,
        new TargetModules.AllLinear(),
        TargetModules.NONE,
        rslora,
        new PathValues<>("rank_pattern", Map.of("layers.1.self_attn.q_proj", 4)),
        new PathValues<>("alpha_pattern", Map.of("q_proj", 24.0)),
        List.of(),
        List.of(),
        InitLoraWeights.KAIMING);
  }

  @Test
  void scalingIsAlphaByRankOrItsRoot() {
    String q1 = "model.layers.1.self_attn.q_proj";
    String q2 = "model.layers.2.self_attn.q_proj";
    String v1 = "model.layers.1.self_attn.v_proj";
    LoraConfig plain = withPatterns(false);
    assertEquals(4, plain.rankOf(q1));
    assertEquals(8, plain.rankOf(q2));
    assertEquals(24.0 / 4, plain.scaling(q1));
    assertEquals(24.0 / 8, plain.scaling(q2));
    assertEquals(16.0 / 8, plain.scaling(v1));
    assertEquals(12.0, withPatterns(true).scaling(q1));
    assertEquals(16 / Math.sqrt(8), withPatterns(true).scaling(v1));
  }

  @Test
  void allProblemsAreReportedAtOnce() {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class,
            () ->
                new LoraConfig(
                    0,
                    Double.NaN,
                    1,
                    TargetModules.ofString(".*q"),
                    new TargetModules.AllLinear(),
                    false,
                    new PathValues<>("rank_pattern", Map.of("q", 0)),
                    PathValues.none(),
                    List.of(-1),
                    List.of(),
                    InitLoraWeights.KAIMING));
    assertEquals(7, e.problems().size(), e::getMessage);
    assertEquals("lora_r is 0, expected at least 1", e.problems().get(0));
  }

  @Test
  void aBadRankPatternIsNamed() {
    InvalidInputException e =
        assertThrows(
            InvalidInputException.class, () -> new PathValues<>("rank_pattern", Map.of("(", 4)));
    assertEquals("rank_pattern: '('", e.getMessage().substring(0, 17));
  }
}
