package ai.nibble.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The generator's command line. */
final class GenerateTest {
  @Test
  void theCorpusHasAsManyRowsAsAskedFor(@TempDir Path temp) throws IOException {
    Generate.run("corpus", "--out", temp.toString(), "--rows", "100");
    assertEquals(30, Files.readAllLines(temp.resolve("text.jsonl")).size());
    assertEquals(70, Files.readAllLines(temp.resolve("chat.jsonl")).size());
    assertTrue(Files.readString(temp.resolve("text.jsonl")).startsWith("{\"text\":\""));
    assertTrue(
        Files.readString(temp.resolve("chat.jsonl")).startsWith("{\"messages\":[{\"role\":"));
  }

  @ParameterizedTest
  @CsvSource({
    "'', 'expected one of [commands, corpus] first'",
    "words --out x, 'expected one of [commands, corpus] first'",
    "commands, '--out is missing: the directory to write to'",
    "commands --rows 3 --out x, commands has no option '--rows'",
    "corpus --out, '''--out'' has no value'",
    "corpus --out x --rows many, '--rows is ''many'', expected a whole number'"
  })
  void badUsageIsNamed(String line, String message) {
    String[] args = line.isEmpty() ? new String[0] : line.split(" ");
    assertEquals(
        message,
        assertThrows(IllegalArgumentException.class, () -> Generate.run(args)).getMessage());
  }
}
