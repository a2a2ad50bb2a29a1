package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class AnswerMetricTest {
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '`',
      value = {
        "{\"a\": 1, \"b\": [2, \"x\"]} | true",
        "  {\"b\":[2,\"x\"],\"a\":1.0}  | true",
        "{\"a\": 1, \"b\": [\"x\", 2]} | false",
        "{\"a\": 1, \"b\": [2, \"x\"], \"c\": null} | false",
        "{\"a\": 1} | false",
        "{\"a\": \"1\", \"b\": [2, \"x\"]} | false",
        "{\"a\": 2, \"a\": 1, \"b\": [2, \"x\"]} | false",
        "{\"a\": 1, \"b\": [2, \"x\"]} done | false",
        "Sure! {\"a\": 1, \"b\": [2, \"x\"]} | false",
        "{\"a\": 1, \"b\": [2, \"x\"] | false",
        "`` | false",
      })
  void exactJsonIsTheWholeTreeAndNothingElse(String answer, boolean right) {
    String expected = "{\"a\":1,\"b\":[2,\"x\"]}";
    assertEquals(right, AnswerMetric.EXACT_JSON.isRight(answer, expected));
  }

  @Test
  void exactTextIgnoresOnlyTheEnds() {
    assertTrue(AnswerMetric.EXACT_TEXT.isRight(" a b\n", "a b"));
    assertEquals(false, AnswerMetric.EXACT_TEXT.isRight("a  b", "a b"));
    assertTrue(AnswerMetric.EXACT_JSON.flaw("x").orElseThrow().contains("exact_json"));
    assertTrue(AnswerMetric.EXACT_JSON.flaw("[]").isEmpty());
  }
}
