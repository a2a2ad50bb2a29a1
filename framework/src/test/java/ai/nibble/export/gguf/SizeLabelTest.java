package ai.nibble.export.gguf;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class SizeLabelTest {
  /** As {@code gguf.utility.model_weight_count_rounded_notation} says them. */
  @ParameterizedTest
  @CsvSource({
    "134515008, 135M",
    "1235814400, 1.2B",
    "8030261248, 8.0B",
    "70553706496, 71B",
    "405853388800, 406B",
    "1026000000000, 1.0T",
    "5263104, 5.3M",
    "9720, 10K",
    "412, 0.41K"
  })
  void numbersAreRoundedAsTheConverterDoes(long parameters, String label) {
    assertEquals(label, SizeLabel.of(parameters));
  }
}
