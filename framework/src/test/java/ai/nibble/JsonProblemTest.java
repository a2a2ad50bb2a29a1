package ai.nibble;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.core.JacksonException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.charset.MalformedInputException;
import java.nio.file.NoSuchFileException;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class JsonProblemTest {
  /** What a parser's own messages have of its classes, methods and settings. */
  private static final Pattern INTERNALS =
      Pattern.compile("`|\\w\\.\\w+\\.\\w|Source|REDACTED|Feature|Exception|START_|END_|\\(\\)");

  private static final JsonMapper STRICT =
      JsonMapper.builder(
              JsonFactory.builder()
                  .streamReadConstraints(
                      StreamReadConstraints.builder()
                          .maxNestingDepth(20)
                          .maxStringLength(100)
                          .maxNameLength(50)
                          .maxNumberLength(30)
                          .build())
                  .build())
          .enable(JsonParser.Feature.STRICT_DUPLICATE_DETECTION)
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .build();

  /** Something that a file is read as. */
  private record Form(int number, List<Form> forms) {}

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"a\": 1|Unexpected end-of-input: expected close marker for Object (start marker at column 1)",
        "{\"a\": [1, 2|Unexpected end-of-input: expected close marker for Array (start marker at column 7)",
        "{} {}|text follows the value",
        "{} 1|text follows the value",
        "{\"a\": 1, \"a\": 2}|Duplicate field 'a'",
        "{\"a\": NaN}|Non-standard token 'NaN', which JSON does not have",
        "[[[[[[[[[[[[[[[[[[[[[1]|Document nesting depth (21) exceeds the maximum allowed (20)",
        "[123456789012345678901234567890123]|Number value length (33) exceeds the maximum allowed (30)",
      })
  void whatIsWrongIsSaidWithoutTheParsersOwnNames(String text, String reason) {
    JacksonException e = assertThrows(JacksonException.class, () -> STRICT.readTree(text));
    assertEquals(reason, JsonProblem.reason(e));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "{\"number\": \"x\"}|'number' has a value of another kind than expected",
        "{\"number\": 1, \"forms\": [{\"number\": []}]}|'forms.0.number' has a value of another kind than expected",
        "{\"numbr\": 1}|unknown key 'numbr'",
        "[]|a value of another kind than expected",
        "''|it is empty",
      })
  void whatNoRecordTakesIsSaidByItsKeys(String text, String reason) {
    JacksonException e =
        assertThrows(JacksonException.class, () -> STRICT.readValue(text, Form.class));
    assertEquals(reason, JsonProblem.reason(e));
  }

  /** Every prefix of a text, and every byte of it another. */
  @Test
  void noDamageBringsAnInternalNameOrASecondLine() throws IOException {
    String text =
        "{\"a\": [1, -2.5e3, true, null, \"x\\u0041\\n\"],\n \"b\": {\"c\": {}}, \"d\": \"y\"}";
    int refused = 0;
    for (int i = 0; i < text.length(); i++) {
      for (String damage :
          new String[] {"", "\u0000", "\"", "}", "]", ",", "\\", "x", "\uFFFF", "'"}) {
        String damaged =
            text.substring(0, i) + damage + (damage.isEmpty() ? "" : text.substring(i));
        try {
          STRICT.readTree(damaged);
        } catch (JacksonException e) {
          String reason = JsonProblem.reason(e);
          assertFalse(INTERNALS.matcher(reason).find(), reason + "\nof " + damaged);
          assertFalse(reason.chars().anyMatch(Character::isISOControl), reason);
          refused++;
        }
      }
    }
    assertTrue(refused > 300, refused + " refused");
  }

  @Test
  void whatFailsBeforeTheParserIsTheFileSystemsOrTheEncodings() {
    assertEquals("no such file or directory", JsonProblem.reason(new NoSuchFileException("x")));
    assertEquals("not valid UTF-8", JsonProblem.reason(new MalformedInputException(1)));
  }
}
