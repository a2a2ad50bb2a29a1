package ai.nibble.eval;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AnswerReportTest {
  @TempDir Path folder;

  private final AnswerReport report =
      new AnswerReport(
          List.of(
              new Question(new int[] {1}, "light\n on", true, "{\"a\": 1}"),
              new Question(new int[] {2}, "second", true, "two")));

  private static Answers answers(boolean right, String... texts) {
    return new Answers(
        Stream.of(texts).map(text -> new Answers.Answer(text, right)).toList(), 5, 0.5);
  }

  private String printed(int show, Answers before, Optional<Answers> after) {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8);
    report.print(out, show, before, after);
    return bytes.toString(StandardCharsets.UTF_8).replace(System.lineSeparator(), "\n");
  }

  @Test
  void theFirstQuestionsAreShownWithWhatCameBeforeAndAfter() {
    assertEquals(
        """

          request   light on
          expected  {"a": 1}
          before    no idea
          after     {"a":1}  [exact]

        """,
        printed(
            1,
            answers(false, "no\u001b\tidea", "x"),
            Optional.of(answers(true, "{\"a\":1}", "two"))));
  }

  @Test
  void moreThanThereAreShowsAll() {
    String shown = printed(9, answers(false, "x", "y"), Optional.empty());
    assertTrue(shown.contains("  request   second\n  expected  two\n  before    y\n"), shown);
    assertFalse(shown.contains("after"), shown);
  }

  @Test
  void aLongAnswerIsCutBetweenCharacters() {
    String shown = printed(1, answers(false, "a".repeat(299) + "😀", "y"), Optional.empty());
    assertTrue(shown.contains("  before    " + "a".repeat(299) + " …\n"), shown);
  }

  @Test
  void theFileHoldsOneObjectALineAndIsReplacedWhole() throws IOException {
    Path file = folder.resolve("answers.jsonl");
    Answers before = answers(false, "x", "y");
    report.write(file, before, Optional.empty());
    assertEquals(
        """
        {"request":"light\\n on","expected":"{\\"a\\": 1}","before":"x","before_exact":false}
        {"request":"second","expected":"two","before":"y","before_exact":false}
        """,
        Files.readString(file));
    report.write(file, before, Optional.of(answers(true, "z", "two")));
    assertEquals(
        "{\"request\":\"second\",\"expected\":\"two\",\"before\":\"y\","
            + "\"before_exact\":false,\"after\":\"two\",\"after_exact\":true}",
        Files.readAllLines(file).get(1));
    try (Stream<Path> files = Files.list(folder)) {
      assertEquals(List.of(file), files.toList());
    }
  }
}
