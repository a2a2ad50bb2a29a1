package ai.nibble.datasets;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** How phrases are read and said. */
final class PhraseTest {
  private final Slots slots = new Slots(new Supply(new Random(1), Split.ALL, new Lexicon(), 0.5));

  private Phrase.Said say(String phrase) {
    return Phrase.parse(phrase).say(new Random(1), slots);
  }

  @Test
  void aNameKeepsItsValue() {
    slots.set("city", new Value("Oslo"));
    assertEquals("Oslo and Oslo", say("{city} and {city}").text());
    assertEquals("to {city}", say("to {city}").skeleton());
    assertEquals("{city}", say("{from:city}").skeleton());
  }

  @Test
  void numberedNamesAreOfOneKindAndDiffer() {
    Phrase.Said said = say("{city1}|{city2}");
    assertEquals("{city}|{city}", said.skeleton());
    assertEquals(2, Set.of(said.text().split("\\|")).size());
  }

  @Test
  void choicesNestAndMayBeEmpty() {
    Phrase phrase = Phrase.parse("a[b[c|d]|]");
    Random random = new Random(1);
    Set<String> said = new TreeSet<>();
    for (int i = 0; i < 100; i++) {
      said.add(phrase.say(random, slots).text());
    }
    assertEquals(Set.of("a", "abc", "abd"), said);
  }

  @Test
  void conditionsAndSettingsWriteWhatIsKnown() {
    assertEquals("", say("{state? is {state}}").text());
    assertEquals("locked it is locked", say("{state=locked}locked it{state? is {state}}").text());
  }

  @Test
  void aBackslashTakesAwayAMeaning() {
    assertEquals("{\"a\"}\n[|", say("\\{\"a\"\\}\\n\\[\\|").text());
  }

  @ParameterizedTest
  @ValueSource(strings = {"[a", "a]", "{city", "city}", "[a|{b]}", "{a? b"})
  void aMissingBracketIsRefused(String phrase) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> Phrase.parse(phrase)).getMessage();
    assertTrue(message.startsWith("'" + phrase + "'"), message);
  }
}
