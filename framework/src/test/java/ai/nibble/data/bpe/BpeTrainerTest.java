package ai.nibble.data.bpe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.bpe.BpeVocabulary.Merge;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.io.TempDir;

/** The trainer against Hugging Face's, and by hand. */
final class BpeTrainerTest {
  private static final int GOLDEN = 10;

  private static WordCounts words(String... texts) {
    WordCounts words = new WordCounts(SplitPattern.WORDS);
    for (String text : texts) {
      words.add(text);
    }
    return words;
  }

  private static List<String> strings(JsonNode list) {
    List<String> strings = new ArrayList<>();
    list.forEach(each -> strings.add(each.asText()));
    return strings;
  }

  @TestFactory
  Stream<DynamicTest> mergesAreThoseOfHuggingFace() throws IOException {
    List<JsonNode> cases = new ArrayList<>();
    try (InputStream in = BpeTrainerTest.class.getResourceAsStream("golden.json")) {
      new ObjectMapper().readTree(in).forEach(cases::add);
    }
    assertEquals(GOLDEN, cases.size());
    return cases.stream()
        .map(
            golden ->
                DynamicTest.dynamicTest(
                    golden.get("name").asText() + " " + golden.get("split").asText(),
                    () -> compare(golden)));
  }

  private static void compare(JsonNode golden) {
    WordCounts words = new WordCounts(SplitPattern.valueOf(golden.get("split").asText()));
    strings(golden.get("texts")).forEach(words::add);
    List<String> special = strings(golden.get("special"));
    BpeVocabulary vocabulary =
        new BpeTrainer(
                golden.get("vocab_size").asInt(), special, golden.get("min_frequency").asLong())
            .train(words);
    List<String> merges =
        vocabulary.merges().stream().map(merge -> merge.left() + " " + merge.right()).toList();
    assertEquals(strings(golden.get("merges")), merges);
    List<String> tokens = vocabulary.tokens();
    assertEquals(special, tokens.subList(0, special.size()));
    assertEquals(
        strings(golden.get("tokens")), tokens.subList(special.size() + 256, tokens.size()));
  }

  @Test
  void theMostFrequentPairIsJoinedFirstAndOfEqualOnesTheSmaller() {
    BpeVocabulary vocabulary = new BpeTrainer(259, List.of(), 1).train(words("cd cd ab ab xyz"));
    assertEquals(
        List.of(new Merge("a", "b"), new Merge("c", "d"), new Merge("x", "y")),
        vocabulary.merges());
    assertEquals(List.of("ab", "cd", "xy"), vocabulary.tokens().subList(256, 259));
  }

  @Test
  void pairsBelowTheLeastFrequencyAreNotJoined() {
    BpeVocabulary vocabulary = new BpeTrainer(1000, List.of(), 2).train(words("abc ab", "de"));
    assertEquals(List.of(new Merge("a", "b")), vocabulary.merges());
    assertEquals(257, vocabulary.tokens().size());
  }

  @Test
  void rowsOfFilesCountAsTheTextsTheyHold(@TempDir Path temp) throws IOException {
    Path chat = temp.resolve("chat.jsonl");
    Files.writeString(
        chat, "{\"messages\":[{\"role\":\"user\",\"content\":\"ab 12\"}]}\n{\"text\":\"ab\"}\n");
    Path plain = temp.resolve("plain.txt");
    Files.writeString(plain, "ab\n\ncd\n");
    WordCounts read = new WordCounts(SplitPattern.WORDS);
    read.add(chat);
    read.add(plain);
    assertEquals(words("user", "ab 12", "ab", "ab", "cd").counts(), read.counts());
    assertEquals(4, read.rows());
    assertEquals(8, read.total());
  }

  private static String problem(org.junit.jupiter.api.function.Executable action) {
    return assertThrows(InvalidInputException.class, action).getMessage();
  }

  @Test
  void whatCannotBeLearntFromIsNamed(@TempDir Path temp) throws IOException {
    assertEquals(
        "the vocabulary size is 257, expected at least 258: 256 bytes and 2 special tokens",
        problem(() -> new BpeTrainer(257, List.of("<a>", "<b>"), 1)));
    assertEquals(
        "the special tokens are [<a>, <a>], expected different ones of at least two characters",
        problem(() -> new BpeTrainer(300, List.of("<a>", "<a>"), 1)));
    assertTrue(
        problem(() -> new BpeTrainer(300, List.of("x"), 1))
            .startsWith("the special tokens are [x]"));
    assertTrue(problem(() -> new BpeTrainer(300, List.of(""), 1)).startsWith("the special tokens"));
    assertEquals(
        "the input holds no text, expected some to learn from",
        problem(() -> new BpeTrainer(300, List.of(), 1).train(words(""))));
    Path rows = temp.resolve("rows.jsonl");
    Files.writeString(rows, "{\"text\":\"a\"}\n{\"body\":\"b\"}\n");
    assertEquals(
        rows + ":2: the row has [body], expected 'text' or 'messages'",
        problem(() -> words().add(rows)));
    Files.writeString(rows, "{\"messages\":[{\"role\":\"user\",\"content\":null}]}\n");
    assertEquals(
        rows + ":1: column 'messages[0].content' is null, expected a string",
        problem(() -> words().add(rows)));
  }
}
