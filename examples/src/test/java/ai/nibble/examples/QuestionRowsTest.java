package ai.nibble.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.Example;
import ai.nibble.data.Tokenizer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QuestionRowsTest {
  private static final Path BASE = TinyBase.root().resolve("models/nibble-5m");

  @TempDir Path temp;

  private Path file(String... lines) throws Exception {
    return Files.write(temp.resolve("rows.jsonl"), List.of(lines));
  }

  private static String text(int[] ids) {
    try (Tokenizer tokenizer = Tokenizer.load(BASE)) {
      return tokenizer.decode(ids, false);
    }
  }

  @Test
  void theSourceIsASystemTurnAndOnlyTheAnswerCarriesLoss() throws Exception {
    Path file =
        file(
            "{\"q\": \"Who wrote it?\", \"a\": \"Ada.\", \"source\": \"letters\"}",
            "{\"q\": \"When?\", \"a\": \"1843.\", \"source\": null}");
    List<Example> examples = QuestionRows.encode(BASE, file, Map.of()).examples();
    assertEquals(
        "<|im_start|>system\nSource: letters<|im_end|>\n"
            + "<|im_start|>user\nWho wrote it?<|im_end|>\n"
            + "<|im_start|>assistant\nAda.<|im_end|>\n",
        text(examples.get(0).inputIds()));
    assertEquals(
        "<|im_start|>user\nWhen?<|im_end|>\n<|im_start|>assistant\n1843.<|im_end|>\n",
        text(examples.get(1).inputIds()));
    int[] loss =
        Arrays.stream(examples.get(0).labels()).filter(id -> id != Example.IGNORED).toArray();
    assertEquals("Ada.<|im_end|>", text(loss));
  }

  @Test
  void columnsMayBeCalledSomethingElse() throws Exception {
    Path file = file("{\"question\": \"When?\", \"a\": \"1843.\"}");
    assertEquals(1, QuestionRows.encode(BASE, file, Map.of("q", "question")).examples().size());
  }

  @Test
  void aMissingAnswerIsNamedWithItsLine() throws Exception {
    Path file = file("{\"q\": \"When?\", \"a\": \"1843.\"}", "{\"q\": \"Where?\"}");
    InvalidInputException e =
        assertThrows(InvalidInputException.class, () -> QuestionRows.encode(BASE, file, Map.of()));
    assertTrue(e.getMessage().startsWith(file + ":2: column 'a' is missing"), e.getMessage());
  }
}
