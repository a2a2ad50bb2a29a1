package ai.nibble.eval.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.io.IOException;
import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FinalNumberTest {
  @TempDir Path folder;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "#### 18 | 18",
        "so 3 + 4 = 7\\n#### 1,234 and 9 | 1234",
        "#### -$5.50 | -5.5",
        "#### 12. | 12",
        "first 3, then 42. | 42",
        "It costs $1,000.00! | 1000",
        "half is .5 | 0.5",
        "#### none, but 8 | 8",
      })
  void aMarkedNumberCountsElseTheLast(String answer, BigDecimal expected) {
    BigDecimal number = FinalNumber.of(answer.replace("\\n", "\n")).orElseThrow();
    assertEquals(0, expected.compareTo(number), number.toString());
  }

  @Test
  void wordsHaveNoNumber() {
    assertTrue(FinalNumber.of("I do not know.").isEmpty());
  }

  @Test
  void problemsWithoutANumberAreNamedByFileAndLine() throws IOException {
    Path file = folder.resolve("p.jsonl");
    Files.writeString(
        file,
        "{\"question\": \"q\", \"answer\": \"#### 1\"}\n{\"question\": \"r\", \"answer\": \"?\"}\n");
    assertEquals(
        file + ":2: column 'answer' is '?', expected an answer with a number, best behind '####'",
        assertThrows(InvalidInputException.class, () -> Problem.read(file)).getMessage());
    Files.writeString(file, "{\"question\": \"q\", \"answer\": \"#### 1\"}\n");
    assertEquals(List.of(new Problem(file + ":1", "q", "#### 1")), Problem.read(file));
  }
}
