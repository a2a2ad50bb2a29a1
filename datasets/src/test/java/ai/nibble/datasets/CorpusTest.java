package ai.nibble.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/**
 * The pretraining text gives away neither the requests nor the answers: all rows that the base was
 * trained on, which begin with those of a smaller corpus.
 */
final class CorpusTest {
  private static final long SEED = 42;

  /** As recipes/nibble-5m-pretrain.yaml says. */
  private static final long ROWS = 300_000;

  /** Rows that are looked at for how they are made: every phrase is in them many times. */
  private static final int SAMPLE = 20_000;

  private static final long TEXTS = Corpus.textRows(ROWS);
  private static final List<String> texts = Corpus.text(SEED, TEXTS).toList();
  private static final List<Chat> chats = Corpus.chat(SEED, ROWS - TEXTS).toList();

  @Test
  void theSameSeedGivesTheSameRows() {
    assertEquals(texts.subList(0, SAMPLE), Corpus.text(SEED, SAMPLE).toList());
    assertEquals(chats.subList(0, SAMPLE), Corpus.chat(SEED, SAMPLE).toList());
    assertNotEquals(chats.get(0), Corpus.chat(SEED + 1, 1).toList().get(0));
  }

  @Test
  void rowsHardlyEverRepeat() {
    assertTrue(new HashSet<>(texts).size() > 0.98 * texts.size());
    // Greetings and facts do.
    assertTrue(new HashSet<>(chats).size() > 0.9 * chats.size());
  }

  /**
   * A way to say a request, in small letters.
   *
   * @param literal its longest words between values, without which a text does not say it
   * @param pattern the whole of it with any values, as a sentence of its own
   */
  private record Phrasing(String literal, Pattern pattern) {
    static Phrasing of(String skeleton) {
      List<String> literals =
          Pattern.compile("\\{\\w+}").splitAsStream(skeleton.toLowerCase(Locale.ROOT)).toList();
      String regex = literals.stream().map(Pattern::quote).collect(Collectors.joining("[^,.!?]+"));
      return new Phrasing(
          Collections.max(literals, Comparator.comparing(String::length)),
          Pattern.compile("(^|.*[.!?:,] )" + regex + "( .*|$)", Pattern.DOTALL));
    }

    boolean isSaidIn(String text) {
      return text.contains(literal) && pattern.matcher(text).matches();
    }
  }

  @Test
  void noRequestOfTheTestPartIsInItNorAnyPhrasing() {
    List<CommandSet.Row> test = CommandSet.test(SEED);
    List<Phrasing> phrasings =
        test.stream().map(CommandSet.Row::skeleton).distinct().map(Phrasing::of).toList();
    assertTrue(phrasings.size() > 80);
    Stream<String> turns = chats.stream().flatMap(chat -> chat.turns().stream());
    List<String> found =
        Stream.concat(texts.stream(), turns)
            .parallel()
            .filter(text -> isSaid(phrasings, text.toLowerCase(Locale.ROOT)))
            .toList();
    assertEquals(List.of(), found);
  }

  private static boolean isSaid(List<Phrasing> phrasings, String text) {
    return phrasings.stream().anyMatch(phrasing -> phrasing.isSaidIn(text));
  }

  /** So that what holds no phrasing holds no request. */
  @Test
  void everyRequestOfTheTestPartSaysItsPhrasing() {
    for (CommandSet.Row row : CommandSet.test(SEED)) {
      String request = row.chat().turns().get(0).toLowerCase(Locale.ROOT);
      assertTrue(Phrasing.of(row.skeleton()).isSaidIn(request), request);
    }
  }

  @Test
  void noFunctionIsNamedAndNoneIsCalled() {
    List<String> words = new ArrayList<>(List.of("\"arguments\"", "\"name\""));
    CommandFunction.all().forEach(function -> words.add(function.name()));
    for (String word : words) {
      assertTrue(texts.stream().noneMatch(text -> text.contains(word)), word);
      assertTrue(
          chats.stream().flatMap(chat -> chat.turns().stream()).noneMatch(t -> t.contains(word)),
          word);
    }
  }

  @Test
  void nothingOfThePhrasesSyntaxIsLeft() {
    Pattern syntax = Pattern.compile("\\{\\w+[:?=}]|[|\\\\]|\\[\\w");
    for (String text : texts.subList(0, SAMPLE)) {
      assertTrue(!syntax.matcher(text).find(), text);
    }
    for (Chat chat : chats.subList(0, SAMPLE)) {
      for (String turn : chat.turns()) {
        assertTrue(!syntax.matcher(turn).find() && turn.equals(turn.strip()), turn);
      }
    }
  }
}
