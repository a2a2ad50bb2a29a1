package ai.nibble.datasets;

import java.nio.charset.StandardCharsets;
import java.util.zip.CRC32;

/** Which values a part of the data may use: a value belongs to one part for good. */
enum Split {
  /** Five values of six. */
  TRAIN,
  /** The sixth. */
  TEST,
  /** All values: the pretraining text. */
  ALL;

  private static final int TEST_EVERY = 6;

  /** Whether the part may use the value, however it is capitalised. */
  boolean accepts(String value) {
    CRC32 crc = new CRC32();
    crc.update(value.toLowerCase(java.util.Locale.ROOT).getBytes(StandardCharsets.UTF_8));
    boolean test = crc.getValue() % TEST_EVERY == 0;
    return this == ALL || test == (this == TEST);
  }
}
