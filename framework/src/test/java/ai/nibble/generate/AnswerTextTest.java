package ai.nibble.generate;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import ai.nibble.data.SmallTokenizer;
import ai.nibble.data.Tokenizer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Text up to a stop string, with a tokenizer of one byte a token. */
class AnswerTextTest {
  @TempDir Path folder;
  private Tokenizer tokenizer;

  @BeforeEach
  void load() {
    SmallTokenizer.write(folder, false);
    tokenizer = Tokenizer.load(folder);
  }

  @AfterEach
  void close() {
    tokenizer.close();
  }

  private List<String> pieces(String text, String... stops) {
    AnswerText answer = new AnswerText(tokenizer, new StopStrings(List.of(stops)));
    List<String> pieces = new ArrayList<>();
    for (int id : tokenizer.encode(text).ids()) {
      pieces.add(answer.accept(id));
    }
    pieces.add(answer.end());
    return pieces;
  }

  @Test
  void whatMayBeginAStopStringIsHeldBackUntilItDoesNot() {
    assertEquals(List.of("a", "", "", "ENx", ""), pieces("aENx", "END"));
    assertEquals(List.of("a", "", "", "", "", ""), pieces("aENDb", "END"));
    assertEquals(List.of("a", "", "", "EN"), pieces("aEN", "END"));
    assertEquals(List.of("", "E", "", "", ""), pieces("EEND", "END"));
  }

  @Test
  void aStopStringThatOverlapsItselfIsFound() {
    assertEquals("xa", String.join("", pieces("xaaabyy", "aab")));
    assertEquals("ab", String.join("", pieces("ababac", "abac")));
  }

  @Test
  void theFirstOfSeveralEndsTheText() {
    assertEquals("say ", String.join("", pieces("say two one", "one", "two")));
    assertEquals("a", String.join("", pieces("abc", "abcd", "b")));
  }

  @Test
  void charactersOfSeveralBytesAreNeitherCutNorMissed() {
    assertEquals("größ", String.join("", pieces("größe🦙x", "e🦙")));
    assertEquals("größe", String.join("", pieces("größe🦙x", "🦙")));
    List<String> held = pieces("a🦙", "🦙!");
    assertEquals("a🦙", String.join("", held));
    assertEquals("🦙", held.get(held.size() - 1), "held back to the end");
  }

  @Test
  void piecesJoinedAreTheTextOfAllTokensUpToTheFirstStop() {
    Random random = new Random(3);
    int stopped = 0;
    for (int run = 0; run < 300; run++) {
      StringBuilder text = new StringBuilder();
      for (int i = 0; i < 30; i++) {
        text.append("ab€".charAt(random.nextInt(3)));
      }
      String[] stops = {"a€b", "bb€€", "€ab€"};
      int[] ids = tokenizer.encode(text.toString()).ids();
      String expected = AnswerText.of(tokenizer, new StopStrings(List.of(stops)), ids);
      assertEquals(expected, String.join("", pieces(text.toString(), stops)));
      stopped += expected.length() < text.length() ? 1 : 0;
    }
    assertTrue(stopped > 100 && stopped < 300, stopped + " of 300 were stopped");
  }

  @Test
  void theRuleHoldsWithTheTokenThatCompletesTheString() {
    IntPredicate rule = new StopStrings(List.of("END")).rule(tokenizer).begin();
    assertFalse(rule.test('E'));
    assertFalse(rule.test('N'));
    assertTrue(rule.test('D'));
    assertFalse(new StopStrings(List.of("END")).rule(tokenizer).begin().test('D'));
    assertThrows(InvalidInputException.class, () -> new StopStrings(List.of("a", "")));
  }
}
