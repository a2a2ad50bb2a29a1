package ai.nibble.recipe;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
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

  @Test
  void whatResemblesNothingFindsNothing() {
    assertEquals(Optional.empty(), NearestName.find("wandb_project", Schema.names()));
    assertEquals(Optional.empty(), NearestName.find("x".repeat(1_000_000), List.of("x")));
  }
}
