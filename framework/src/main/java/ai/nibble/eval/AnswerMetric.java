package ai.nibble.eval;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.Optional;

/** When an answer counts as right. */
public enum AnswerMetric {
  /**
   * Both are JSON, the answer nothing but JSON, and equal as trees: the same fields with the same
   * values, no more and no fewer; order of fields and white space do not count, numbers by value.
   */
  EXACT_JSON {
    @Override
    public boolean isRight(String answer, String expected) {
      Optional<JsonNode> reference = parse(expected);
      return reference.isPresent()
          && parse(answer)
              .filter(json -> json.equals(AnswerMetric::compare, reference.get()))
              .isPresent();
    }

    @Override
    public Optional<String> flaw(String expected) {
      return parse(expected).isPresent()
          ? Optional.empty()
          : Optional.of("is not JSON, which the metric exact_json compares");
    }
  },
  /** Equal but for white space at both ends. */
  EXACT_TEXT {
    @Override
    public boolean isRight(String answer, String expected) {
      return answer.strip().equals(expected.strip());
    }

    @Override
    public Optional<String> flaw(String expected) {
      return Optional.empty();
    }
  };

  private static final JsonMapper STRICT =
      JsonMapper.builder()
          .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .enable(DeserializationFeature.USE_BIG_DECIMAL_FOR_FLOATS)
          .build();

  /** Whether the answer is right. */
  public abstract boolean isRight(String answer, String expected);

  /** Why no answer could ever be right; follows the words "the expected answer". */
  public abstract Optional<String> flaw(String expected);

  private static Optional<JsonNode> parse(String text) {
    try {
      JsonNode node = STRICT.readTree(text);
      return node.isMissingNode() ? Optional.empty() : Optional.of(node);
    } catch (JsonProcessingException e) {
      return Optional.empty();
    }
  }

  /** As Jackson compares leaves, except that 1, 1.0 and 1e0 are one number. */
  private static int compare(JsonNode a, JsonNode b) {
    if (a.isNumber() && b.isNumber()) {
      return a.decimalValue().compareTo(b.decimalValue());
    }
    return a.equals(b) ? 0 : 1;
  }
}
