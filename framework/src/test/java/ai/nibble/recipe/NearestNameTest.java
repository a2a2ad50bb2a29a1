package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.nibble.InvalidInputException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** "Did you mean". */
final class NearestNameTest {
  @ParameterizedTest
  @CsvSource({
    "'', abc, 3",
    "kitten, sitting, 3",
    "seed, seed, 0",
    "lora_r, lroa_r, 1",
    "ca, abc, 3",
    "flaw, lawn, 2"
  })
  void distanceCountsInsertionsDeletionsSubstitutionsAndSwaps(String a, String b, int distance) {
    assertEquals(distance, NearestName.distance(a, b));
    assertEquals(distance, NearestName.distance(b, a));
  }

  @ParameterizedTest
  @CsvSource({
    "learnig_rate, learning_rate",
    "Learning-Rate, learning_rate",
    "lora_rr, lora_r",
    "bnb_4bit_quant_typ, bnb_4bit_quant_type",
    "outputdir, output_dir",
    "dataset, datasets"
  })
  void aSlipFindsItsKey(String written, String key) {
    assertEquals(Optional.of(key), NearestName.find(written, Schema.names()));
  }

  /**
   * A letter left out of any word that a key takes is found again, whatever else is known of the
   * key's values; but for a word that is left as another.
   */
  @Test
  void aSlipInAWordOfAnyKeyFindsTheWord() {
    int words = 0;
    for (Setting setting : Schema.RECIPE.settings().values()) {
      if (!(setting.type() instanceof ScalarTypes.Choice choice)) {
        continue;
      }
      List<String> known = choice.constants().stream().map(c -> c.name().toLowerCase()).toList();
      for (String word : known) {
        for (int i = 0; i < word.length() && word.length() > 3; i++) {
          String slip = word.substring(0, i) + word.substring(i + 1);
          if (!known.contains(slip)) {
            assertTrue(said(setting, slip).contains("(did you mean '"), setting.name() + slip);
            words++;
          }
        }
      }
    }
    assertTrue(words > 300, "words: " + words);
  }

  private static String said(Setting setting, String value) {
    Problems problems = new Problems();
    Position at = new Position("a.yaml", 1, 1, Path.of(""));
    Node.Field field = new Node.Field(at, new Node.Scalar(value, false, at));
    Reading reading = Reading.begin(problems);
    setting.read(new Node.Fields(Map.of(setting.name(), field), at), reading);
    return assertThrows(InvalidInputException.class, problems::throwIfAny).getMessage();
  }

  @Test
  void whatResemblesNothingFindsNothing() {
    assertEquals(Optional.empty(), NearestName.find("wandb_project", Schema.names()));
    assertEquals(Optional.empty(), NearestName.find("x".repeat(1_000_000), List.of("x")));
  }
}
