package ai.nibble.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/** The pretraining text, sampled: it gives away neither the requests nor the answers. */
final class CorpusTest {
  private static final long SEED = 42;
  private static final int ROWS = 10_000;

  private final List<String> texts = Corpus.text(SEED, ROWS / 4).toList();
  private final List<Chat> chats = Corpus.chat(SEED, ROWS).toList();

  @Test
  void theSameSeedGivesTheSameRows() {
    assertEquals(texts, Corpus.text(SEED, ROWS / 4).toList());
    assertEquals(chats, Corpus.chat(SEED, ROWS).toList());
    assertNotEquals(chats.get(0), Corpus.chat(SEED + 1, 1).toList().get(0));
  }

  @Test
  void rowsHardlyEverRepeat() {
    assertTrue(new HashSet<>(texts).size() > 0.98 * texts.size());
    // Greetings and facts do.
    assertTrue(new HashSet<>(chats).size() > 0.9 * chats.size());
  }

  @Test
  void noRequestOfTheTestPartIsInIt() {
    Set<String> requests =
        CommandSet.test(SEED).stream()
            .map(row -> row.chat().turns().get(0))
            .collect(Collectors.toSet());
    for (Chat chat : chats) {
      for (String turn : chat.turns()) {
        assertTrue(requests.stream().noneMatch(turn::contains), turn);
      }
    }
  }

  /** A phrasing with its values open, said as a whole sentence. */
  @Test
  void noPhrasingOfTheTestPartIsInIt() {
    List<Pattern> phrasings = new ArrayList<>();
    for (String skeleton :
        CommandSet.test(SEED).stream().map(CommandSet.Row::skeleton).collect(Collectors.toSet())) {
      String regex =
          Pattern.compile("\\{\\w+}")
              .splitAsStream(skeleton)
              .map(Pattern::quote)
              .collect(Collectors.joining("[^,.!?]+"));
      phrasings.add(Pattern.compile("(^|.*[.!?:,] )" + regex + "( .*|$)", Pattern.DOTALL));
    }
    assertTrue(phrasings.size() > 80);
    for (CommandSet.Row row : CommandSet.test(SEED)) {
      String request = row.chat().turns().get(0);
      assertTrue(phrasings.stream().anyMatch(p -> p.matcher(request).matches()), request);
    }
    List<String> found = new ArrayList<>();
    for (Chat chat : chats) {
      String request = chat.turns().get(0);
      for (Pattern phrasing : phrasings) {
        if (phrasing.matcher(request).matches()) {
          found.add(request + " is said as " + phrasing);
        }
      }
    }
    assertEquals(List.of(), found);
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
    texts.forEach(text -> assertTrue(!syntax.matcher(text).find(), text));
    for (Chat chat : chats) {
      for (String turn : chat.turns()) {
        assertTrue(!syntax.matcher(turn).find() && turn.equals(turn.strip()), turn);
      }
    }
  }
}
