package ai.nibble.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The function-calling data set: what is shipped, and that its test part is unseen. */
final class CommandSetTest {
  private static final long SEED = 42;
  private static final Path SHIPPED =
      Path.of(System.getProperty("nibble.root")).resolve("datasets/commands");

  /** Arguments whose values are open: names, cities, products and the like. */
  private static final Set<String> OPEN =
      Set.of(
          "label",
          "task",
          "item",
          "product",
          "recipient",
          "from",
          "to",
          "city",
          "name",
          "title",
          "artist",
          "playlist");

  private final List<CommandSet.Row> train = CommandSet.train(SEED);
  private final List<CommandSet.Row> test = CommandSet.test(SEED);

  @Test
  void theShippedFilesAreWhatTheGeneratorWrites(@TempDir Path temp) throws IOException {
    Generate.run("commands", "--out", temp.toString());
    for (String file : List.of("train.jsonl", "test.jsonl")) {
      assertEquals(
          -1, Files.mismatch(temp.resolve(file), SHIPPED.resolve(file)), file + " differs");
    }
    assertEquals(4500, Files.readAllLines(SHIPPED.resolve("train.jsonl")).size());
    assertEquals(200, Files.readAllLines(SHIPPED.resolve("test.jsonl")).size());
    assertTrue(Files.size(SHIPPED.resolve("train.jsonl")) <= 1_000_000);
  }

  private static Set<String> openValues(List<CommandSet.Row> rows) {
    return rows.stream()
        .flatMap(row -> row.values().entrySet().stream())
        .filter(value -> OPEN.contains(value.getKey()))
        .map(value -> value.getValue().plain().toLowerCase(Locale.ROOT))
        .collect(Collectors.toCollection(TreeSet::new));
  }

  @Test
  void noValueOfTheTestPartIsInTheTrainingPart() {
    Set<String> seen = openValues(train);
    Set<String> unseen = openValues(test);
    assertTrue(seen.size() > 2000, "values in train: " + seen.size());
    assertTrue(unseen.size() > 150, "values in test: " + unseen.size());
    unseen.retainAll(seen);
    assertEquals(Set.of(), unseen);
  }

  @Test
  void noPhrasingOfTheTestPartIsInTheTrainingPart() {
    Set<String> seen = skeletons(train);
    Set<String> unseen = skeletons(test);
    assertTrue(seen.size() > 500, "phrasings in train: " + seen.size());
    assertTrue(unseen.size() > 80, "phrasings in test: " + unseen.size());
    unseen.retainAll(seen);
    assertEquals(Set.of(), unseen);
  }

  /** Punctuation and capitals make no other phrasing. */
  private static Set<String> skeletons(List<CommandSet.Row> rows) {
    return rows.stream()
        .map(row -> row.skeleton().toLowerCase(Locale.ROOT).replaceAll("[^a-z{} ]", "").strip())
        .collect(Collectors.toCollection(TreeSet::new));
  }

  @Test
  void theLinesOfTheTwoPartsDiffer() {
    Map<String, List<String>> test = Lexicon.sections("commands/test.txt");
    Lexicon.sections("commands/train.txt")
        .forEach(
            (section, lines) ->
                assertTrue(
                    test.get(section).stream().noneMatch(lines::contains), "'" + section + "'"));
  }

  @Test
  void everyFunctionHasItsShareOfBothParts() {
    for (CommandFunction function : CommandFunction.all()) {
      for (List<CommandSet.Row> rows : List.of(train, test)) {
        long count = rows.stream().filter(row -> row.function().equals(function.name())).count();
        double share = rows.size() / (double) CommandFunction.all().size();
        // Repeated requests are left out, which hits the functions with few values.
        assertTrue(count > 0.5 * share && count < 1.5 * share, function.name() + ": " + count);
      }
      for (CommandFunction.Argument argument : function.arguments()) {
        assertTrue(
            train.stream()
                    .filter(row -> row.function().equals(function.name()))
                    .filter(row -> row.values().containsKey(argument.name()))
                    .count()
                > 20,
            function.name() + " hardly ever has " + argument.name());
      }
    }
  }

  @Test
  void everyAnswerIsOneCompactCallWhoseStringsStandInTheRequest() throws IOException {
    ObjectMapper mapper = new ObjectMapper();
    for (CommandSet.Row row : Stream.concat(train.stream(), test.stream()).toList()) {
      String request = row.chat().turns().get(0);
      String answer = row.chat().turns().get(1);
      JsonNode call = mapper.readTree(answer);
      assertEquals(answer, call.toString());
      assertEquals(row.function(), call.get("name").asText());
      for (Map.Entry<String, JsonNode> argument : call.get("arguments").properties()) {
        String text = argument.getValue().asText();
        // On, off and shuffle are said in other words; locked may be said as "lock".
        boolean said =
            request.contains(text)
                || argument.getKey().equals("shuffle")
                || request.toLowerCase(Locale.ROOT).contains(text.replaceFirst("ed$", ""));
        assertTrue(said, request + " → " + answer);
      }
    }
  }

  @Test
  void afterACommaTheSentenceGoesOnSmall() {
    Phrase.Said would = new Phrase.Said("Would you stop?", "Would you stop?");
    assertEquals("Listen, would you stop?", CommandSet.behind("Listen,", would));
    assertEquals("Hi! Would you stop?", CommandSet.behind("Hi!", would));
    Phrase.Said own = new Phrase.Said("I wait.", "I wait.");
    assertEquals("Listen, I wait.", CommandSet.behind("Listen,", own));
    Phrase.Said it = new Phrase.Said("Is it late?", "Is it late?");
    assertEquals("Listen, is it late?", CommandSet.behind("Listen,", it));
    Phrase.Said name = new Phrase.Said("Oslo is far.", "{city} is far.");
    assertEquals("Listen, Oslo is far.", CommandSet.behind("Listen,", name));
  }

  @Test
  void anArgumentThatAFunctionDoesNotHaveIsRefused() {
    CommandFunction alarm = CommandFunction.all().get(0);
    assertThrows(
        IllegalArgumentException.class, () -> alarm.call(Map.of("city", new Value("Oslo"))));
  }
}
